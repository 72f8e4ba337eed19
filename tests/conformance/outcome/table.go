package outcome

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Figures are what is told of a run beside its results.
type Figures struct {
	// Profile is the suite's name of it.
	Profile string
	// Suite is the version of the suite and of the definitions.
	Suite string
	// Core are the profile's core features; all others are extended.
	Core []string
	// Published are the features that the gateway's GatewayClass lists.
	Published []string
	// Took is how long all tests took, the setup included.
	Took time.Duration
	// Delays are the times from an object's file to its first published status, sorted.
	Delays []time.Duration
}

// Table writes the results as Markdown.
func Table(figures Figures, results Results) string {
	var text strings.Builder
	write := func(format string, values ...any) { fmt.Fprintf(&text, format+"\n", values...) }
	core, extended := divide(figures.Core, results)
	write("# Conformance with %s", figures.Profile)
	write("")
	write("Made by `cargo xtask conformance %s`: the official suite %s against the real binary, off-cluster. An", figures.Profile, figures.Suite)
	write("internal record: an official report is of a release that others can install.")
	write("")
	write("| | pass | fail |")
	write("| --- | --- | --- |")
	write("| core | %d | %d |", len(core.Passed()), len(core.Failed()))
	write("| extended | %d | %d |", len(extended.Passed()), len(extended.Failed()))
	write("")
	write("All tests took %.0f s, the setup included. From an object's file to its first status: median %s, 99th percentile %s,",
		figures.Took.Seconds(), milliseconds(percentile(figures.Delays, 50)), milliseconds(percentile(figures.Delays, 99)))
	write("longest %s, over %d versions of objects.", milliseconds(percentile(figures.Delays, 100)), len(figures.Delays))
	if broken := results.Broken(figures.Published); len(broken) > 0 {
		write("")
		write("Published by the GatewayClass as supported, with tests that fail:")
		write("")
		for _, line := range broken {
			write("- %s", line)
		}
	}
	section(write, "Core", core, figures.Core)
	section(write, "Extended", extended, figures.Core)
	return text.String()
}

// divide parts the tests that need core features only from the others.
func divide(features []string, results Results) (core, extended Results) {
	for _, result := range results.sorted() {
		if len(beside(features, result.Features)) == 0 {
			core = append(core, result)
		} else {
			extended = append(extended, result)
		}
	}
	return core, extended
}

func beside(core, features []string) (others []string) {
	for _, feature := range features {
		if !slices.Contains(core, feature) {
			others = append(others, feature)
		}
	}
	return others
}

func section(write func(string, ...any), title string, results Results, core []string) {
	write("")
	write("## %s", title)
	write("")
	write("| test | | extended features |")
	write("| --- | --- | --- |")
	for _, result := range results {
		passed := "**fail**"
		if result.Passed {
			passed = "pass"
		}
		if result.Hollow {
			passed += ", asserts nothing"
		}
		if result.Provisional {
			passed += ", provisional"
		}
		write("| %s | %s | %s |", result.Name, passed, strings.Join(beside(core, result.Features), ", "))
	}
}

// percentile of sorted times; 0 where there are none.
func percentile(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)-1)*percent/100]
}

func milliseconds(time time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(time.Microseconds())/1000)
}
