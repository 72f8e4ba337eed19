package fields

import (
	"encoding/json"
	"fmt"
	"os/exec"
)

// A Modelled kind is one whose fields gateway reads.
type Modelled struct {
	Kind   string
	Group  string
	Fields []struct {
		Path   string
		Served bool
		Reason string
	}
}

// Listing is what `gateway fields --output json` prints.
type Listing struct {
	Kinds         []Modelled
	UnservedKinds []struct {
		Kind, Group, Reason string
	}
}

// Ours asks a gateway for its listing.
func Ours(binary string) (*Listing, error) {
	output, err := exec.Command(binary, "fields", "--output", "json").Output()
	if err != nil {
		return nil, fmt.Errorf("%s fields: %w", binary, err)
	}
	listing := new(Listing)
	if err := json.Unmarshal(output, listing); err != nil {
		return nil, fmt.Errorf("%s fields prints no JSON: %w", binary, err)
	}
	return listing, nil
}
