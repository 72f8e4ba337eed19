// Package journal writes down what happens to objects during a run, for whoever wants to know why a test failed: by
// then its objects are gone.
package journal

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"gateway.internal/conformance/apiserver"
)

// Journal writes a line per change: the time since the start, the test that asked for it (the gateway's statuses have
// none), what happened to which object, its generation, and its spec or status.
type Journal struct {
	server *apiserver.Server
	start  time.Time

	mutex sync.Mutex
	to    io.Writer
}

// New writes what happens to a server's objects from now on; [Journal.Observe] is to be registered with it.
func New(server *apiserver.Server, to io.Writer) *Journal {
	return &Journal{server: server, start: time.Now(), to: to}
}

// Observe writes one line. Secrets are named, not shown; lines that cannot be written are lost.
func (j *Journal) Observe(event apiserver.Event) {
	generation, content := int64(0), ""
	stored, ok := j.server.Object(event.Key)
	if ok && event.Key.Kind != "Secret" && event.Key.Kind != "CustomResourceDefinition" {
		generation = stored.Object.GetGeneration()
		part := stored.Submitted.Object["spec"]
		if event.Change == apiserver.StatusUpdated {
			part = stored.Object.Object["status"]
		}
		if text, err := json.Marshal(part); err == nil {
			content = string(text)
		}
	}
	j.mutex.Lock()
	defer j.mutex.Unlock()
	_, _ = fmt.Fprintf(j.to, "%9.3f %-30s %-8s %s generation %d %s\n",
		time.Since(j.start).Seconds(), testOf(event.Agent), event.Change, event.Key, generation, content)
}

// testOf finds a test's name in the suite's User-Agent: program::version::TEST::features.
func testOf(agent string) string {
	if parts := strings.Split(agent, "::"); len(parts) == 4 {
		return parts[2]
	}
	return "-"
}
