package apiserver

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Logs is where the logs of pods come from.
type Logs interface {
	// Log gives the lines that a container has written since then, oldest first; false for a container unknown.
	Log(namespace, pod, container string, since time.Time) ([]byte, bool)
}

// Server holds the objects. Its zero value is not usable; see [New].
type Server struct {
	logs Logs
	now  func() time.Time

	// kinds and observers are complete before the first request.
	kinds     []*kind
	observers []func(Event)

	mutex    sync.Mutex
	revision int64
	objects  map[Key]*entry
	unserved map[string]bool
}

// entry is an object that is stored. Both trees are replaced, never changed, so that they can be read outside of the
// lock by whoever has found them inside.
type entry struct {
	object, submitted *unstructured.Unstructured
}

// New makes a server that knows the kinds which are built in and has no objects.
func New() *Server {
	return &Server{
		now:      time.Now,
		kinds:    builtIn(),
		objects:  make(map[Key]*entry),
		unserved: make(map[string]bool),
	}
}

// ServeLogs says where logs come from; without, none are served. To be called before the first request.
func (s *Server) ServeLogs(logs Logs) { s.logs = logs }

// Observe adds an observer, before the first request. It is told of every change after it has happened and before its
// request is answered, in the goroutine of the request, and may send requests of its own. Events of requests that
// overlap may come in another order: who needs the truth asks for the object.
func (s *Server) Observe(observer func(Event)) {
	s.observers = append(s.observers, observer)
}

// Object gives a copy of an object, or false if there is none.
func (s *Server) Object(key Key) (Stored, bool) {
	s.mutex.Lock()
	entry, ok := s.objects[key]
	s.mutex.Unlock()
	if !ok {
		return Stored{}, false
	}
	return Stored{Object: entry.object.DeepCopy(), Submitted: entry.submitted.DeepCopy()}, true
}

// Unserved lists, sorted, what was asked for and is not served here: kinds, verbs, subresources, patch types. A run
// during which something was is not worth a report.
func (s *Server) Unserved() []string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	asked := make([]string, 0, len(s.unserved))
	for request := range s.unserved {
		asked = append(asked, request)
	}
	slices.Sort(asked)
	return asked
}

// SetStatus replaces the status of an object by what a controller has published about it, if it is still the same
// object (by uid) and not older than what the status tells of. It returns false where it is not, and an error where
// the object's schema refuses the status; nothing is changed then. A nil status is that of an object whose controller
// has nothing to say: what the schema's defaults give.
func (s *Server) SetStatus(key Key, uid string, generation int64, status map[string]any) (bool, error) {
	kind := s.kindNamed(key.Group, key.Kind)
	if kind == nil || !kind.hasStatus {
		return false, nil
	}
	s.mutex.Lock()
	entry, ok := s.objects[key]
	if !ok || string(entry.object.GetUID()) != uid || entry.object.GetGeneration() < generation {
		s.mutex.Unlock()
		return false, nil
	}
	object := entry.object.DeepCopy()
	if status == nil {
		delete(object.Object, "status")
	} else {
		object.Object["status"] = status
	}
	changed, err := s.store(kind, versionOf(object), entry, object, entry.submitted)
	s.mutex.Unlock()
	if err != nil {
		return false, err
	}
	if changed {
		s.tell(Event{Key: key, Change: StatusUpdated})
	}
	return true, nil
}

func (s *Server) tell(events ...Event) {
	for _, event := range events {
		for _, observer := range s.observers {
			observer(event)
		}
	}
}

func (s *Server) kindNamed(group, name string) *kind {
	return s.findKind(func(k *kind) bool { return k.group == group && k.name == name })
}

func (s *Server) findKind(is func(*kind) bool) *kind {
	place := slices.IndexFunc(s.kinds, is)
	if place < 0 {
		return nil
	}
	return s.kinds[place]
}

// nextRevision is called under the lock.
func (s *Server) nextRevision() string {
	s.revision++
	return strconv.FormatInt(s.revision, 10)
}

// refuse remembers that something is not served, and says so.
func (s *Server) refuse(format string, values ...any) error {
	what := fmt.Sprintf(format, values...)
	s.mutex.Lock()
	s.unserved[what] = true
	s.mutex.Unlock()
	return apierrors.NewGenericServerResponse(405, "", nothing, "", what+" is not served by this stand-in", 0, false)
}
