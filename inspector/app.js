"use strict";
// What moves in the inspector's pages: the list of runs, and a run that is going on. All text is set as text.
(() => {
  const api = id => "/api/v1/runs/" + encodeURIComponent(id);
  const cell = (row, text, name) => { const td = row.insertCell(); td.textContent = text; if (name) td.className = name; return td; };
  const post = url => fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
  const stopper = id => {
    const b = document.createElement("button");
    b.type = "button";
    b.textContent = "stop";
    b.title = "interrupt it: it ends with what it has, and can be gone on with";
    b.addEventListener("click", async () => {
      b.disabled = true;
      const r = await post(api(id) + "/stop");
      if (!r.ok) b.title = (await r.json()).error;
    });
    return b;
  };

  const table = document.getElementById("runs");
  if (table) {
    const body = table.tBodies[0], chosen = new Set(), compare = document.getElementById("compare"), filter = document.getElementById("filter"), stops = new Map();
    let list = JSON.parse(table.dataset.first);
    const draw = () => {
      const want = filter.value.toLowerCase();
      body.replaceChildren();
      let n = 0;
      for (const r of list.runs) {
        if (!`${r.id} ${r.model} ${r.verb} ${r.method} ${r.state}`.toLowerCase().includes(want)) continue;
        n++;
        const row = body.insertRow(), pick = document.createElement("input");
        pick.type = "checkbox";
        pick.checked = chosen.has(r.id);
        pick.setAttribute("aria-label", "choose " + r.id);
        pick.addEventListener("change", () => { pick.checked ? chosen.add(r.id) : chosen.delete(r.id); compare.disabled = chosen.size < 2; });
        row.insertCell().append(pick);
        const link = document.createElement("a");
        link.href = "/run/" + encodeURIComponent(r.id);
        link.textContent = r.id;
        row.insertCell().append(link);
        cell(row, r.model);
        cell(row, r.verb + (r.method && r.method !== r.verb ? " " + r.method : ""));
        const state = document.createElement("span");
        state.className = "state " + r.state;
        state.textContent = r.state;
        if (r.error) state.title = r.error;
        row.insertCell().append(state);
        cell(row, r.traces.toLocaleString("en"), "r");
        cell(row, r.failed ? r.failed.toLocaleString("en") : "", "r");
        cell(row, r.seconds === null ? "" : r.seconds.toPrecision(3), "r");
        cell(row, r.started.startsWith("0001") ? "" : new Date(r.started).toLocaleString());
        const last = row.insertCell();
        if (r.stoppable) {
          if (!stops.has(r.id)) stops.set(r.id, stopper(r.id));
          last.append(stops.get(r.id));
        }
      }
      document.getElementById("count").textContent = `${n} of ${list.runs.length}`;
      document.getElementById("none").hidden = list.runs.length > 0;
    };
    compare.addEventListener("click", () => { location.href = "/compare?" + [...chosen].map(id => "run=" + encodeURIComponent(id)).join("&"); });
    filter.addEventListener("input", draw);
    draw();
    setInterval(async () => {
      if (document.hidden) return;
      try {
        const r = await fetch("/api/v1/runs");
        if (r.ok) { list = await r.json(); draw(); }
      } catch { /* the inspector has ended, or comes back */ }
    }, 3000);
  }

  const run = document.body.dataset.run, strip = document.querySelector(".strip"), live = document.getElementById("live");
  if (run && strip && (!live || document.body.dataset.state === "running")) {
    const waiting = !live && !document.querySelector("form, .strip-of, .wrong");
    if (!live && !waiting) return; // pages of traces stay as they are
    const source = new EventSource(api(run) + "/events"), stop = stopper(run), said = document.createElement("span");
    let busy = false, ended = false;
    strip.append(said, stop);
    stop.hidden = true;
    source.addEventListener("message", async e => {
      const r = JSON.parse(e.data);
      said.textContent = `${r.state}: ${r.traces.toLocaleString("en")} of ${r.n.toLocaleString("en")} traces` + (r.ess ? `, effective sample size ${r.ess.toPrecision(4)}` : "") + (r.verdict ? `, ${r.verdict}` : "");
      stop.hidden = !r.stoppable;
      if (r.state !== "running") { // the page is another now, unless there is nothing to show
        ended = true;
        source.close();
        if (!waiting || r.traces > 0) location.reload();
        return;
      }
      if (waiting) { if (r.traces > 0) location.reload(); return; }
      if (busy) return;
      busy = true;
      try {
        const part = await fetch(location.pathname + "?part=live");
        if (part.ok && !ended) {
          const page = new DOMParser().parseFromString(await part.text(), "text/html");
          live.replaceChildren(...page.body.children);
        }
      } catch { /* the next one */ }
      busy = false;
    });
  }
})();
