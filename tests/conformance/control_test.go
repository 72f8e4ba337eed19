package conformance

import (
	"fmt"
	"os"
)

// hollow are the tests that pass without a gateway, each with the reason: they assert nothing here.
var hollow = map[string]string{
	"TLSRouteListenerMixedTerminationNotSupported": "returns at once if TLSRouteModeMixed is claimed, as it is here",
	"TLSRouteListenerTerminateNotSupported":        "returns at once if TLSRouteModeTerminate is claimed, as it is here",
	"UDPRouteNotAllowedByListeners":                "returns at once unless TLSRoute is claimed, which is not of its profile",
}

// judgeControl judges a run that nothing should pass: what does asserts nothing of a gateway, or something is made up
// on the way.
func (r *run) judgeControl(passed []string) (wrong []string) {
	for _, name := range passed {
		if reason, known := hollow[name]; known {
			fmt.Fprintf(os.Stderr, "%s passes without a gateway's word: %s\n", name, reason)
			continue
		}
		wrong = append(wrong, fmt.Sprintf("%s passes with --gateway=%s: what makes it?", name, options.gateway))
	}
	for _, name := range r.results.Failed() {
		if _, known := hollow[name]; known {
			wrong = append(wrong, fmt.Sprintf("%s is said to pass without a gateway, and does not", name))
		}
	}
	return wrong
}
