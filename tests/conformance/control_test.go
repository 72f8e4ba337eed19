package conformance

import (
	"fmt"
	"slices"
)

// hollow are the tests that pass without a gateway, each with the reason.
var hollow = map[string]string{}

// judgeControl judges a run that nothing should pass: what does asserts nothing of a gateway, or something is made up
// on the way.
func (r *run) judgeControl(passed []string) (wrong []string) {
	for _, name := range passed {
		if reason, known := hollow[name]; known {
			fmt.Printf("%s passes without a gateway's word: %s\n", name, reason)
			continue
		}
		wrong = append(wrong, fmt.Sprintf("%s passes with --gateway=%s: what makes it?", name, options.gateway))
	}
	for name := range hollow {
		if slices.Contains(r.results.Failed(), name) {
			wrong = append(wrong, fmt.Sprintf("%s is said to pass without a gateway, and does not", name))
		}
	}
	return wrong
}
