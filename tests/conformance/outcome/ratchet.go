package outcome

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
)

// head explains the file to who opens it.
const head = `# Conformance tests that pass, one a line. None may vanish: a run in which one of them fails, fails.
# cargo xtask conformance --bless adds those that pass now and have not before.
`

// Ratchet is the list of the tests that have passed, which turns one way only.
type Ratchet struct {
	path  string
	names []string
}

// ReadRatchet reads the list; a file that is missing is an empty one.
func ReadRatchet(path string) (*Ratchet, error) {
	file, err := os.Open(path)
	if os.IsNotExist(err) {
		return &Ratchet{path: path}, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	ratchet := &Ratchet{path: path}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" && !strings.HasPrefix(line, "#") {
			ratchet.names = append(ratchet.names, line)
		}
	}
	return ratchet, lines.Err()
}

// Judge says what is wrong: tests of the list that failed, and names in it that the suite does not know. Tests that
// did not run are not held against a run.
func (r *Ratchet) Judge(results Results, known []string) (wrong []string) {
	failed := results.Failed()
	for _, name := range r.names {
		switch {
		case slices.Contains(failed, name):
			wrong = append(wrong, fmt.Sprintf("%s has passed before and fails now", name))
		case !slices.Contains(known, name):
			wrong = append(wrong, fmt.Sprintf("%s is on the list and not in the suite: was it renamed?", name))
		}
	}
	return wrong
}

// New are the tests that passed and are not on the list, sorted. Hollow ones have no place there.
func (r *Ratchet) New(results Results) (names []string) {
	for _, result := range results.sorted() {
		if result.Passed && !result.Hollow && !slices.Contains(r.names, result.Name) {
			names = append(names, result.Name)
		}
	}
	return names
}

// Add writes the list with the tests that passed added to it.
func (r *Ratchet) Add(results Results) error {
	r.names = append(r.names, r.New(results)...)
	slices.Sort(r.names)
	return os.WriteFile(r.path, []byte(head+strings.Join(r.names, "\n")+"\n"), 0o644)
}
