// Package outcome holds what a run of the suite has found and judges it: against the list of tests that have passed
// before, and as a table to read.
package outcome

import (
	"cmp"
	"fmt"
	"slices"
)

// Result is that of one test.
type Result struct {
	// Name is the suite's short name of the test.
	Name string
	// Features are what the test needs, sorted.
	Features []string
	// Provisional tests may still change upstream.
	Provisional bool
	// Hollow tests pass without a gateway: that one passes says nothing.
	Hollow bool
	// Passed is false for a test that failed; those that did not run have no result.
	Passed bool
}

// Results are those of one run.
type Results []Result

// Passed are the names of the tests that passed, sorted.
func (r Results) Passed() []string { return r.names(true) }

// Failed are the names of the tests that failed, sorted.
func (r Results) Failed() []string { return r.names(false) }

func (r Results) names(passed bool) (names []string) {
	for _, result := range r {
		if result.Passed == passed {
			names = append(names, result.Name)
		}
	}
	slices.Sort(names)
	return names
}

func (r Results) sorted() Results {
	return slices.SortedFunc(slices.Values(r), func(a, b Result) int { return cmp.Compare(a.Name, b.Name) })
}

// Broken lists features that the gateway publishes as supported and that a failed test needs, each with those tests.
func (r Results) Broken(published []string) (broken []string) {
	for _, feature := range slices.Sorted(slices.Values(published)) {
		var tests []string
		for _, result := range r.sorted() {
			if !result.Passed && isAbout(result, feature, published) {
				tests = append(tests, result.Name)
			}
		}
		if len(tests) > 0 {
			broken = append(broken, fmt.Sprintf("%s: %v", feature, tests))
		}
	}
	return broken
}

// isAbout: the test needs the feature, and nothing that is not published, which it might fail for.
func isAbout(result Result, feature string, published []string) bool {
	if !slices.Contains(result.Features, feature) {
		return false
	}
	for _, needed := range result.Features {
		if !slices.Contains(published, needed) {
			return false
		}
	}
	return true
}
