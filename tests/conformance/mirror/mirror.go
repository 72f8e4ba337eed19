package mirror

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"gateway.internal/conformance/apiserver"
)

// interval is how often it is looked whether the gateway has published something: one stat.
const interval = 2 * time.Millisecond

// notGiven are the kinds that are a cluster's business and not a gateway's.
var notGiven = []string{"Pod", "Deployment", "CustomResourceDefinition", "ServiceAccount"}

// Mirror keeps a gateway's directory and the API server's stand-in alike.
type Mirror struct {
	server    *apiserver.Server
	directory *Directory
	// state is written by the gateway after everything else that it publishes.
	state    string
	statuses statusFiles
	services serviceFiles

	mutex   sync.Mutex
	frozen  bool
	written map[apiserver.Key]writing
	// made are the objects that the gateway has written down itself.
	made     map[apiserver.Key]bool
	delays   []time.Duration
	problems []string
}

// writing is when a version of an object was written to the directory.
type writing struct {
	uid        string
	generation int64
	at         time.Time
	// answered: its first status is back.
	answered bool
}

// New mirrors a server into the gateway that reads configDir and publishes below runtimeDir. [Mirror.Observe] is to be
// registered with the server, [Mirror.Follow] to be run.
func New(server *apiserver.Server, configDir, runtimeDir string) *Mirror {
	return &Mirror{
		server:    server,
		directory: NewDirectory(configDir),
		state:     filepath.Join(runtimeDir, "state.json"),
		statuses:  statusFiles{root: filepath.Join(runtimeDir, "status"), seen: make(map[string]seenFile)},
		services:  serviceFiles{root: filepath.Join(runtimeDir, "services"), told: make(map[apiserver.Key]string)},
		written:   make(map[apiserver.Key]writing),
		made:      make(map[apiserver.Key]bool),
	}
}

// Observe brings the directory up to date with one object, before the request that changed it is answered.
func (m *Mirror) Observe(event apiserver.Event) {
	if event.Change == apiserver.StatusUpdated || slices.Contains(notGiven, event.Key.Kind) {
		return
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.made[event.Key] {
		return
	}
	// Events may come out of order: what is stored now is what counts.
	stored, ok := m.server.Object(event.Key)
	var err error
	if ok {
		err = m.put(event.Key, stored)
	} else {
		delete(m.written, event.Key)
		err = m.directory.Remove(event.Key)
	}
	if err != nil {
		m.problems = append(m.problems, fmt.Sprintf("cannot mirror %s: %v", event.Key, err))
	}
}

func (m *Mirror) put(key apiserver.Key, stored apiserver.Stored) error {
	if err := m.directory.Put(key, stored); err != nil {
		return err
	}
	now := writing{uid: string(stored.Object.GetUID()), generation: stored.Object.GetGeneration(), at: time.Now()}
	if old := m.written[key]; old.uid != now.uid || old.generation < now.generation {
		m.written[key] = now
	}
	return nil
}

// Follow brings back what the gateway publishes, until the context ends.
func (m *Mirror) Follow(ctx context.Context) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var last stamp
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		info, err := os.Stat(m.state)
		if err != nil || stampOf(info) == last {
			continue
		}
		last = stampOf(info)
		m.bringBack()
	}
}

func (m *Mirror) bringBack() {
	changed, gone, err := m.statuses.read()
	m.mutex.Lock()
	frozen := m.frozen
	if err != nil {
		m.problems = append(m.problems, err.Error())
	}
	m.mutex.Unlock()
	if frozen {
		return
	}
	for _, file := range gone {
		m.apply(file, nil)
	}
	for _, file := range changed {
		m.apply(file, file.Status)
	}
	if err := m.bringServices(); err != nil {
		m.mutex.Lock()
		m.problems = append(m.problems, err.Error())
		m.mutex.Unlock()
	}
}

func (m *Mirror) apply(file *published, status map[string]any) {
	key, err := file.key()
	taken := false
	if err == nil {
		taken, err = m.server.SetStatus(key, file.Metadata.UID, file.Metadata.Generation, status)
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if err != nil {
		m.problems = append(m.problems, fmt.Sprintf("the status of %s is refused: %v", key, err))
	}
	written, known := m.written[key]
	isSame := written.uid == file.Metadata.UID && written.generation == file.Metadata.Generation
	// Later statuses of one version are about changes elsewhere.
	if taken && status != nil && known && isSame && !written.answered {
		m.delays = append(m.delays, time.Since(written.at))
		written.answered = true
		m.written[key] = written
	}
}

// Freeze stops bringing statuses back: to the suite, the gateway has nothing more to say.
func (m *Mirror) Freeze() {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.frozen = true
}

// Delays are the times from writing a version of an object to having its first status back, sorted.
func (m *Mirror) Delays() []time.Duration {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return slices.Sorted(slices.Values(m.delays))
}

// Problems are what went wrong on either way: files that could not be written, statuses that the schema of their kind
// refuses.
func (m *Mirror) Problems() []string {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return slices.Clone(m.problems)
}
