package outcome_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gateway.internal/conformance/outcome"
)

var some = outcome.Results{
	{Name: "Mirror", Features: []string{"Gateway", "Mirror"}, Passed: true, Provisional: true},
	{Name: "Simple", Features: []string{"Gateway"}, Passed: true},
	{Name: "Cors", Features: []string{"Cors", "Gateway"}},
	{Name: "Nothing", Features: []string{"Gateway"}, Passed: true, Hollow: true},
}

func TestTheRatchetTurnsOneWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passing.txt")
	known := []string{"Mirror", "Simple", "Cors", "Nothing"}
	ratchet, err := outcome.ReadRatchet(path)
	require.NoError(t, err)
	require.Empty(t, ratchet.Judge(some, known))
	require.Equal(t, []string{"Mirror", "Simple"}, ratchet.New(some))
	require.NoError(t, ratchet.Add(some))

	ratchet, err = outcome.ReadRatchet(path)
	require.NoError(t, err)
	require.Empty(t, ratchet.New(some))
	require.Empty(t, ratchet.Judge(some, known))
	require.Empty(t, ratchet.Judge(some[:1], known), "a test that did not run is not held against the run")
	worse := outcome.Results{{Name: "Mirror"}, {Name: "Simple", Passed: true}}
	require.Equal(t, []string{"Mirror has passed before and fails now"}, ratchet.Judge(worse, known))
	renamed := []string{"Mirror", "Plain", "Cors", "Nothing"}
	require.Equal(t, []string{"Simple is on the list and not in the suite: was it renamed?"}, ratchet.Judge(some, renamed))

	require.NoError(t, ratchet.Add(worse))
	ratchet, err = outcome.ReadRatchet(path)
	require.NoError(t, err)
	require.Len(t, ratchet.Judge(worse, known), 1, "adding takes nothing off the list")
}

func TestAPublishedFeatureIsBrokenByATestThatNeedsNothingElse(t *testing.T) {
	require.Empty(t, some.Broken([]string{"Gateway", "Mirror"}))
	require.Equal(t, []string{"Cors: [Cors]", "Gateway: [Cors]"}, some.Broken([]string{"Gateway", "Cors"}))
}

func TestTheTableCountsAndSorts(t *testing.T) {
	delays := []time.Duration{time.Millisecond, 2 * time.Millisecond, 3500 * time.Microsecond}
	table := outcome.Table(outcome.Figures{
		Profile: "P", Suite: "v1", Core: []string{"Gateway"}, Published: []string{"Gateway"}, Took: 61 * time.Second, Delays: delays,
	}, some)
	require.Contains(t, table, "| core | 2 | 0 |\n| extended | 1 | 1 |\n")
	require.Contains(t, table, "| Cors | **fail** | Cors |\n| Mirror | pass, provisional | Mirror |\n")
	require.Contains(t, table, "| Nothing | pass, asserts nothing |")
	require.Contains(t, table, "took 61 s")
	require.Contains(t, table, "median 2.0 ms")
	require.Contains(t, table, "longest 3.5 ms, over 3 versions")
	require.NotContains(t, table, "tests that fail")
}
