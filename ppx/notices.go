package ppx

import "strings"

// NoticePrefix is what the addresses of unnamed Tags begin with that tell of a program which nobody edits what its hooks have seen, and cannot answer; the value is how often.
const NoticePrefix = "ppx wrap: "

// Notice is something that a hijacked program does.
type Notice struct {
	Rule  string // that it breaks
	Text  string // "the program …"
	Means string
	Mild  bool // it may be harmless
}

// Notices are all, by their numbers on the side of the hooks.
var Notices = [...]Notice{
	{"draws on one thread", "drew on other threads", "their draws are left to the program's own generators: they are not seen, and the same values do not make the same run", false},
	{"draws in one process", "drew in processes that it started", "their draws are left to the program's own generators: they are not seen, and the same values do not make the same run", false},
	{"seeds no generator twice alike", "seeded a generator again with an earlier seed", "it would have got the same numbers again, and gets new ones: the model is another", false},
	{"does not depend on the clock", "looked at the clock", "harmless where it seeds a generator, as seeds no longer matter; else runs differ", true},
	{"takes no random numbers from outside", "took random numbers from the system", "harmless where they seed a generator, as seeds no longer matter; else they are not seen, and runs differ", true},
	{"copies no generator", "copied a generator", "a copy would have given the same numbers again, and gives new ones: the model is another", false},
}

// NoticeOf is the notice at an address.
func NoticeOf(address string) (n *Notice, ok bool) {
	text, ok := strings.CutPrefix(address, NoticePrefix)
	if !ok {
		return nil, false
	}
	for i := range Notices {
		if Notices[i].Text == text {
			return &Notices[i], true
		}
	}
	return nil, false
}
