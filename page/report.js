"use strict";
// What can be asked in a page: tables that sort and filter, a graph to move in, and charts in place of pictures where there is a library for them (Plot).
(() => {
  const colors = ["#0072b2", "#009e73", "#969696", "#cc79a7", "#56b4e9", "#e69f00", "#d55e00", "#707070"], truth = "#d55e00";
  const $ = (kind, text, attributes) => {
    const e = document.createElement(kind);
    if (text !== undefined) e.textContent = text;
    for (const [k, v] of Object.entries(attributes || {})) e.setAttribute(k, v);
    return e;
  };
  const figure = x => x === null || x === undefined ? "–" : Math.abs(x) >= 1e5 || x !== 0 && Math.abs(x) < 1e-3 ? x.toExponential(3) : String(+x.toPrecision(4));
  const percent = x => figure(100 * x) + " %";

  for (const box of document.querySelectorAll("[data-filter]")) box.addEventListener("input", () => {
    const want = box.value.toLowerCase();
    for (const row of document.getElementById(box.dataset.filter).tBodies[0].rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(want);
  });

  for (const th of document.querySelectorAll("th")) {
    const sort = () => {
      const body = th.closest("table").tBodies[0], k = th.cellIndex, up = th.dataset.up = th.dataset.up === "1" ? "" : "1";
      const number = row => parseFloat(row.cells[k].textContent.replace(/[,%]/g, "").replace("−", "-"));
      [...body.rows].sort((a, b) => {
        const x = number(a), y = number(b);
        const d = isNaN(x) || isNaN(y) ? a.cells[k].textContent.localeCompare(b.cells[k].textContent) : x - y;
        return up ? d : -d;
      }).forEach(row => body.append(row));
    };
    th.tabIndex = 0;
    th.addEventListener("click", sort);
    th.addEventListener("keydown", e => { if (e.key === "Enter") sort(); });
  }

  // The graph: drag to move, buttons or ctrl and the wheel to come closer.
  for (const svg of document.querySelectorAll(".graph svg")) {
    const [, , w, h] = svg.getAttribute("viewBox").split(" ").map(Number);
    const frame = svg.parentElement;
    let x = 0, y = 0, scale = Math.max(1, Math.min(w / Math.max(1, frame.clientWidth), 4)), from = null;
    const set = () => svg.setAttribute("viewBox", `${x} ${y} ${frame.clientWidth * scale} ${frame.clientHeight * scale}`);
    frame.classList.add("moves");
    svg.setAttribute("width", "100%");
    svg.setAttribute("height", "100%");
    svg.setAttribute("preserveAspectRatio", "xMinYMin meet");
    frame.style.height = Math.min(h / scale + 4, window.innerHeight * 0.75) + "px";
    x = -(frame.clientWidth * scale - w) / 2;
    const zoom = (by, px, py) => {
      const next = Math.max(0.15, Math.min(20, scale * by));
      x += px * (scale - next); y += py * (scale - next); scale = next;
      set();
    };
    svg.addEventListener("pointerdown", e => { from = [e.clientX, e.clientY, x, y]; svg.setPointerCapture(e.pointerId); });
    svg.addEventListener("pointermove", e => { if (from) { x = from[2] - (e.clientX - from[0]) * scale; y = from[3] - (e.clientY - from[1]) * scale; set(); } });
    svg.addEventListener("pointerup", () => { from = null; });
    svg.addEventListener("wheel", e => {
      if (!e.ctrlKey && !e.metaKey) return;
      e.preventDefault();
      const r = svg.getBoundingClientRect();
      zoom(e.deltaY > 0 ? 1.15 : 1 / 1.15, e.clientX - r.left, e.clientY - r.top);
    }, { passive: false });
    const tools = $("div", undefined, { class: "tools" });
    for (const [label, name, act] of [["+", "closer", () => zoom(1 / 1.3, frame.clientWidth / 2, frame.clientHeight / 2)], ["−", "farther", () => zoom(1.3, frame.clientWidth / 2, frame.clientHeight / 2)],
      ["all", "all of it", () => { scale = Math.max(w / frame.clientWidth, h / frame.clientHeight); y = 0; x = -(frame.clientWidth * scale - w) / 2; set(); }]]) {
      const b = $("button", label, { type: "button", title: name });
      b.addEventListener("click", act);
      tools.append(b);
    }
    frame.append(tools);
    set();
    const note = frame.parentElement.querySelector(".chosen");
    for (const node of svg.querySelectorAll(".node")) node.addEventListener("click", () => {
      for (const other of svg.querySelectorAll(".node.on, .edge.on")) other.classList.remove("on");
      node.classList.add("on");
      for (const e of svg.querySelectorAll(".edge")) if (e.dataset.from === node.dataset.key || e.dataset.to === node.dataset.key) e.classList.add("on");
      if (note) note.textContent = node.querySelector("title").textContent;
    });
  }

  const source = document.getElementById("data");
  if (typeof Plot === "undefined" || !source) return;
  const data = JSON.parse(source.textContent);
  const wide = e => Math.max(260, Math.min(e.clientWidth || 640, 1040));
  const color = i => colors[i % colors.length];

  // A choice of one of some names.
  const choice = (names, chosen, label, changed) => {
    const s = $("select", undefined, { "aria-label": label });
    names.forEach((n, i) => s.append($("option", n, i === chosen ? { value: i, selected: "" } : { value: i })));
    s.addEventListener("change", () => changed(+s.value));
    return s;
  };

  const histogram = (v, width) => {
    const marks = [Plot.ruleY([0])];
    v.bins.forEach((bins, run) => {
      const single = v.sparse && v.sparse[run] || bins.every(b => b[0] === b[1]);
      const title = b => `${data.runs.length > 1 ? data.runs[run] + "\n" : ""}${b[0] === b[1] ? figure(b[0]) : figure(b[0]) + " to " + figure(b[1])}: ${percent(b[2])}`;
      if (single) marks.push(Plot.ruleX(bins, { x: b => b[0], y: b => b[2], stroke: color(run), strokeWidth: bins.length > 30 ? 2 : 5, strokeOpacity: 0.75, title, tip: true }));
      else marks.push(Plot.rectY(bins, { x1: b => b[0], x2: b => b[1], y: b => b[2] / (b[1] - b[0]), fill: color(run), fillOpacity: 0.45, stroke: color(run), strokeWidth: 0.6, inset: 0, title, tip: true }));
    });
    if (v.truth !== null) marks.push(Plot.ruleX([v.truth], { stroke: truth, strokeWidth: 2 }));
    if (v.warning) marks.push(Plot.text([v.warning], { frameAnchor: "middle", fontSize: 16, fill: "#cf222e", fontWeight: "bold" }));
    return Plot.plot({ width, height: Math.round(width * 0.62), marginLeft: 46, x: { label: v.name, labelAnchor: "center", ticks: 5 }, y: { label: null, ticks: 4, grid: true }, marks });
  };

  const legend = () => {
    const p = $("p", undefined, { class: "legend" });
    const entry = (name, c) => { const s = $("span"); s.append($("i", undefined, { style: `background:${c}` }), " " + name); p.append(s); };
    if (data.runs.length > 1) data.runs.forEach((r, i) => entry(r, color(i)));
    if (data.variables.some(v => v.truth !== null)) entry("truth", truth);
    return p;
  };

  let show = () => {};
  const draw = {
    marginals(box) {
      const shown = new Set(data.variables.slice(0, +box.dataset.first || 9).map(v => v.name));
      const grid = $("div", undefined, { class: "grid" }), list = $("details"), boxes = new Map();
      const fill = () => {
        grid.replaceChildren();
        for (const v of data.variables) if (shown.has(v.name)) {
          const cell = $("div", undefined, { "data-variable": v.name });
          grid.append(cell);
          cell.append(histogram(v, Math.min(340, wide(grid))));
        }
        for (const [name, b] of boxes) b.checked = shown.has(name);
      };
      if (data.variables.length > 1) {
        list.append($("summary", `choose variables (${data.variables.length})`));
        for (const v of data.variables) {
          const l = $("label"), b = $("input", undefined, { type: "checkbox" });
          boxes.set(v.name, b);
          b.addEventListener("change", () => { b.checked ? shown.add(v.name) : shown.delete(v.name); fill(); });
          l.append(b, " " + v.name);
          list.append(l);
        }
      }
      box.append(legend(), list, grid);
      fill();
      show = name => {
        if (!boxes.has(name) && !shown.has(name)) return;
        shown.add(name);
        fill();
        for (const cell of grid.children) if (cell.dataset.variable === name) {
          cell.scrollIntoView({ behavior: "smooth", block: "center" });
          cell.classList.add("on");
        }
      };
    },
    pairs(box) {
      const p = data.pairs;
      let x = 0, y = 1;
      const plot = $("div");
      const fill = () => {
        const rows = p.draws[x].map((v, i) => [v, p.draws[y][i]]).filter(r => r[0] !== null && r[1] !== null);
        const marks = [];
        const spread = k => new Set(rows.map(r => r[k])).size > 30; // of numbers of few kinds there is no density
        if (rows.length > 2 && spread(0) && spread(1)) marks.push(Plot.density(rows, { x: r => r[0], y: r => r[1], fill: color(0), fillOpacity: 0.12, thresholds: 8 }));
        marks.push(Plot.dot(rows, { x: r => r[0], y: r => r[1], r: 1.6, fill: color(0), fillOpacity: 0.45, title: r => `${p.names[x]}: ${figure(r[0])}\n${p.names[y]}: ${figure(r[1])}`, tip: true }));
        if (p.truths[x] !== null) marks.push(Plot.ruleX([p.truths[x]], { stroke: truth }));
        if (p.truths[y] !== null) marks.push(Plot.ruleY([p.truths[y]], { stroke: truth }));
        plot.replaceChildren(Plot.plot({ width: Math.min(620, wide(box)), height: Math.min(460, wide(box) * 0.8), marginLeft: 56, grid: true, x: { label: p.names[x], labelAnchor: "center" }, y: { label: p.names[y] }, marks }));
      };
      const bar = $("p", undefined, { class: "choices" });
      bar.append(choice(p.names, y, "variable upwards", v => { y = v; fill(); }), " over ", choice(p.names, x, "variable sideways", v => { x = v; fill(); }));
      box.append(bar, plot);
      fill();
    },
    weights(box) {
      const marks = [Plot.ruleY([0])];
      if (data.runs.length > 1) {
        const p = $("p", undefined, { class: "legend" });
        data.weights.forEach((line, i) => { if (line) { const s = $("span"); s.append($("i", undefined, { style: `background:${color(i)}` }), " " + data.runs[i]); p.append(s); } });
        box.append(p);
      }
      data.weights.forEach((line, i) => { if (line) marks.push(Plot.lineY(line, { x: q => q[0], y: q => q[1], stroke: color(i), strokeWidth: 2, title: q => `${percent(q[0])} of the draws have ${percent(q[1])} of the weight`, tip: true })); });
      box.append(Plot.plot({ width: Math.min(520, wide(box)), height: 280, marginLeft: 50, grid: true, x: { label: "share of the draws, largest weights first", labelAnchor: "center" }, y: { label: "share of the weight", domain: [0, 1] }, marks }));
    },
    chains(box) {
      const plot = $("div", undefined, { class: "grid two" }), note = $("p", undefined, { class: "soft" });
      const fill = k => {
        const c = data.chains[k];
        const lines = c.values.flatMap((chain, i) => chain.map((v, s) => ({ chain: i + 1, draw: s * c.every, v })));
        const ranks = c.ranks.flatMap((counts, i) => counts.map((n, b) => ({ chain: i + 1, x: b / counts.length, to: (b + 1) / counts.length, n })));
        const width = Math.min(500, wide(box));
        plot.replaceChildren(
          Plot.plot({ width, height: 260, marginLeft: 50, x: { label: "draw of the chain", labelAnchor: "center" }, y: { label: c.name, grid: true },
            marks: [Plot.lineY(lines, { x: "draw", y: "v", z: "chain", stroke: d => color(d.chain - 1), strokeWidth: 0.8, strokeOpacity: 0.7, title: d => `chain ${d.chain}, draw ${d.draw}: ${figure(d.v)}`, tip: true })] }),
          Plot.plot({ width, height: 260, marginLeft: 50, x: { label: "rank among all chains", labelAnchor: "center" }, y: { label: "draws", grid: true },
            marks: [Plot.ruleY([c.level], { strokeDasharray: "4 3" }), Plot.lineY(ranks, { x: "x", y: "n", z: "chain", curve: "step-after", stroke: d => color(d.chain - 1), strokeWidth: 1.2, title: d => `chain ${d.chain}: ${d.n} draws`, tip: true }), Plot.ruleY([0])] }));
        note.textContent = `R̂ ${figure(c.rhat)}, effective sample size ${figure(c.ess)}`;
      };
      const bar = $("p", undefined, { class: "choices" });
      bar.append(choice(data.chains.map(c => c.name), 0, "variable of the chains", fill));
      box.append(bar, plot, note);
      fill(0);
    },
    ladder(box) {
      const rungs = data.ladder.map((r, i) => ({ ...r, rung: i + 1 })), grid = $("div", undefined, { class: "grid" });
      box.append(grid);
      const scored = rungs.some(r => r.level !== null);
      for (const [key, name] of [scored ? ["level", "level of the score"] : ["beta", "exponent of the likelihood, β"], ["moved", "share of particles that moved"], ["ancestors", "first particles with descendants"]]) {
        grid.append(Plot.plot({ width: Math.min(340, wide(grid)), height: 220, marginLeft: 50, grid: true, x: { label: "rung", labelAnchor: "center" }, y: { label: name, zero: key !== "level" },
          marks: [Plot.lineY(rungs, { x: "rung", y: key, stroke: color(0), marker: "dot", title: r => `rung ${r.rung}\nβ ${figure(r.beta)}\n${r.moves} moves, ${percent(r.moved)} moved\nESS of weights ${figure(r.ess)}\nancestors ${r.ancestors}`, tip: true })] }));
      }
    },
    predictive(box) {
      if (!data.predictive.length) return false;
      const grid = $("div", undefined, { class: "grid two" });
      box.append(grid);
      for (const f of data.predictive) {
        const rows = f.bands.map((b, i) => ({ i, b, seen: f.observed[i] }));
        grid.append(Plot.plot({ width: Math.min(520, wide(grid)), height: 280, marginLeft: 56, grid: true, x: { label: "number", labelAnchor: "center" }, y: { label: f.name }, marks: [
          Plot.areaY(rows, { x: "i", y1: d => d.b[0], y2: d => d.b[4], fill: color(0), fillOpacity: 0.18 }),
          Plot.areaY(rows, { x: "i", y1: d => d.b[1], y2: d => d.b[3], fill: color(0), fillOpacity: 0.28 }),
          Plot.lineY(rows, { x: "i", y: d => d.b[2], stroke: color(0) }),
          Plot.dot(rows.filter(d => d.seen !== null), { x: "i", y: "seen", r: 2.5, fill: truth, title: d => `${f.name} ${d.i}\nobserved ${figure(d.seen)}\nhalf of the replicates ${figure(d.b[1])} to ${figure(d.b[3])}\nnine tenths ${figure(d.b[0])} to ${figure(d.b[4])}`, tip: true })] }));
      }
      return true;
    },
    training(box) {
      const marks = [];
      for (const [key, c] of [["loss", colors[2]], ["validation", colors[0]]])
        marks.push(Plot.lineY(data.training.filter(p => p[key] !== null), { x: "traces", y: key, stroke: c, strokeWidth: 2, title: p => `${p.traces.toLocaleString("en")} traces: ${key} ${figure(p[key])} nats`, tip: true }));
      const p = $("p", undefined, { class: "legend" });
      for (const [name, c] of [["training", colors[2]], ["held-out", colors[0]]]) { const s = $("span"); s.append($("i", undefined, { style: `background:${c}` }), " " + name); p.append(s); }
      box.append(p, Plot.plot({ width: Math.min(620, wide(box)), height: 280, marginLeft: 50, grid: true, x: { label: "training traces", labelAnchor: "center", tickFormat: "s" }, y: { label: "loss (nats)" }, marks }));
    },
  };
  for (const f of document.querySelectorAll("[data-chart]")) {
    const box = $("div", undefined, { class: "live" });
    box.dataset.first = f.dataset.first || "";
    f.prepend(box);
    try {
      if (draw[f.dataset.chart](box) === false) { box.remove(); continue; }
      f.classList.add("drawn");
    } catch (e) { // the picture stays
      console.error(e);
      box.remove();
    }
  }

  // A variable of the table is shown among the histograms.
  const known = new Set(data.variables.map(v => v.name));
  for (const td of document.querySelectorAll("table.variables tbody td:first-child")) if (known.has(td.textContent)) {
    td.classList.add("link");
    td.tabIndex = 0;
    td.title = "show its histogram";
    td.addEventListener("click", () => show(td.textContent));
    td.addEventListener("keydown", e => { if (e.key === "Enter") show(td.textContent); });
  }
})();
