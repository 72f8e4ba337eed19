package mirror_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gateway.internal/conformance/apiserver"
	"gateway.internal/conformance/mirror"
)

// world is a server with one kind of its own, and the two directories of a gateway.
type world struct {
	t            *testing.T
	server       *apiserver.Server
	client       client.Client
	mirror       *mirror.Mirror
	config, runs string
	published    int
}

// widgets are a kind with a default, a status and a limit, which the gateway is given.
const widgets = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: widgets.example.test
spec:
  group: example.test
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              color: {type: string, default: red}
              size: {type: integer}
          status:
            type: object
            default: {state: Unknown}
            properties:
              state: {type: string, maxLength: 10}
`

func newWorld(t *testing.T) *world {
	t.Helper()
	definitions := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(definitions, "widgets.yaml"), []byte(widgets), 0o600))
	world := &world{t: t, server: apiserver.New(), config: t.TempDir(), runs: t.TempDir()}
	require.NoError(t, world.server.Install(definitions))
	world.mirror = mirror.New(world.server, world.config, world.runs)
	world.server.Observe(world.mirror.Observe)
	var err error
	world.client, err = world.server.Client()
	require.NoError(t, err)
	require.NoError(t, world.client.Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		world.mirror.Follow(ctx)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return world
}

var key = apiserver.Key{Group: "example.test", Kind: "Widget", Namespace: "shop", Name: "a"}

func (w *world) request(method, path, body string) {
	w.t.Helper()
	request, err := http.NewRequest(method, "http://in-process"+path, strings.NewReader(body))
	require.NoError(w.t, err)
	response, err := w.server.RoundTrip(request)
	require.NoError(w.t, err)
	require.Less(w.t, response.StatusCode, 300)
}

func (w *world) createWidget(spec string) string {
	w.t.Helper()
	w.request("POST", "/apis/example.test/v1/namespaces/shop/widgets",
		`{"apiVersion":"example.test/v1","kind":"Widget","metadata":{"name":"a"},"spec":`+spec+`}`)
	stored, ok := w.server.Object(key)
	require.True(w.t, ok)
	return string(stored.Object.GetUID())
}

func (w *world) file() string {
	return filepath.Join(w.config, "Widget.example.test", "shop", "a.json")
}

// publish does as the gateway does: the status file by renaming, then the state.
func (w *world) publish(uid string, generation int, status string) {
	w.t.Helper()
	directory := filepath.Join(w.runs, "status", "Widget.example.test", "shop")
	require.NoError(w.t, os.MkdirAll(directory, 0o755))
	document := map[string]any{
		"apiVersion": "example.test/v1", "kind": "Widget",
		"metadata": map[string]any{"name": "a", "namespace": "shop", "uid": uid, "generation": generation},
		"status":   json.RawMessage(status),
	}
	text, err := json.Marshal(document)
	require.NoError(w.t, err)
	w.put(filepath.Join(directory, "a.json"), string(text))
	w.tell()
}

func (w *world) withdraw() {
	w.t.Helper()
	require.NoError(w.t, os.Remove(filepath.Join(w.runs, "status", "Widget.example.test", "shop", "a.json")))
	w.tell()
}

func (w *world) tell() {
	w.t.Helper()
	w.published++
	w.put(filepath.Join(w.runs, "state.json"), strings.Repeat("x", w.published))
}

func (w *world) put(path, text string) {
	w.t.Helper()
	require.NoError(w.t, os.WriteFile(path+".new", []byte(text), 0o600))
	require.NoError(w.t, os.Rename(path+".new", path))
}

func (w *world) state() string {
	stored, _ := w.server.Object(key)
	status, _ := stored.Object.Object["status"].(map[string]any)
	state, _ := status["state"].(string)
	return state
}

func (w *world) becomes(state string) {
	w.t.Helper()
	require.Eventually(w.t, func() bool { return w.state() == state }, 10*time.Second, time.Millisecond)
}

func TestAFileIsWhatTheUserSubmittedWithTheServersMetadata(t *testing.T) {
	world := newWorld(t)
	uid := world.createWidget(`{"size":3}`)
	text, err := os.ReadFile(world.file())
	require.NoError(t, err)
	var got map[string]any
	require.NoError(t, json.Unmarshal(text, &got))
	require.Equal(t, map[string]any{"size": 3.0}, got["spec"], "no default is filled in")
	require.NotContains(t, got, "status")
	metadata := got["metadata"].(map[string]any)
	require.Equal(t, uid, metadata["uid"])
	require.EqualValues(t, 1, metadata["generation"])
	require.Contains(t, metadata, "creationTimestamp")

	world.request("DELETE", "/apis/example.test/v1/namespaces/shop/widgets/a", "")
	_, err = os.Stat(world.file())
	require.ErrorIs(t, err, os.ErrNotExist)
	entries, err := os.ReadDir(filepath.Dir(world.file()))
	require.NoError(t, err)
	require.Empty(t, entries, "nothing is left behind")
}

func TestALongNameHasAFileToo(t *testing.T) {
	root := t.TempDir()
	directory := mirror.NewDirectory(root)
	world := newWorld(t)
	world.createWidget(`{}`)
	stored, _ := world.server.Object(key)
	long := key
	for _, end := range []string{"a", "b"} {
		long.Name = strings.Repeat("n", 252) + end
		require.NoError(t, directory.Put(long, stored))
	}
	entries, err := os.ReadDir(filepath.Join(root, "Widget.example.test", "shop"))
	require.NoError(t, err)
	require.Len(t, entries, 2, "names that differ have files that differ")
	require.NoError(t, directory.Remove(long))
	require.NoError(t, directory.Remove(long), "what is not there is removed")
}

func TestAStatusComesBackAndGoes(t *testing.T) {
	world := newWorld(t)
	uid := world.createWidget(`{}`)
	require.Equal(t, "Unknown", world.state())
	world.publish(uid, 1, `{"state":"Good"}`)
	world.becomes("Good")
	require.Len(t, world.mirror.Delays(), 1)
	world.publish(uid, 1, `{"state":"Bad"}`)
	world.becomes("Bad")
	require.Len(t, world.mirror.Delays(), 1, "one version is measured once")
	world.withdraw()
	world.becomes("Unknown")
	require.Empty(t, world.mirror.Problems())
}

func TestAStatusOfAPredecessorIsNotTaken(t *testing.T) {
	world := newWorld(t)
	uid := world.createWidget(`{}`)
	world.request("DELETE", "/apis/example.test/v1/namespaces/shop/widgets/a", "")
	next := world.createWidget(`{}`)
	require.NotEqual(t, uid, next)
	world.publish(uid, 1, `{"state":"Old"}`)
	world.publish(next, 1, `{"state":"New"}`)
	world.becomes("New")
	require.Len(t, world.mirror.Delays(), 1)
}

func TestAStatusThatTheSchemaRefusesIsAProblem(t *testing.T) {
	world := newWorld(t)
	uid := world.createWidget(`{}`)
	world.publish(uid, 1, `{"state":"far too long"}`)
	require.Eventually(t, func() bool { return len(world.mirror.Problems()) == 1 }, 10*time.Second, time.Millisecond)
	require.Contains(t, world.mirror.Problems()[0], "Widget.example.test shop/a is refused")
	require.Equal(t, "Unknown", world.state())
}

func TestAServiceThatTheGatewayWritesDownIsTheServersAndNotGivenBack(t *testing.T) {
	world := newWorld(t)
	service := apiserver.Key{Kind: "Service", Namespace: "shop", Name: "web-own"}
	directory := filepath.Join(world.runs, "services", "shop")
	require.NoError(t, os.MkdirAll(directory, 0o755))
	label := func() string {
		stored, ok := world.server.Object(service)
		if !ok {
			return ""
		}
		return stored.Object.GetLabels()["team"]
	}
	for _, team := range []string{"a", "b"} {
		world.put(filepath.Join(directory, "web.json"), `{"apiVersion":"v1","kind":"Service","metadata":{"name":"web-own","namespace":"shop","labels":{"team":"`+team+`"}}}`)
		world.tell()
		require.Eventually(t, func() bool { return label() == team }, 10*time.Second, time.Millisecond)
	}
	_, err := os.Stat(filepath.Join(world.config, "Service"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.Remove(filepath.Join(directory, "web.json")))
	world.tell()
	require.Eventually(t, func() bool { return label() == "" }, 10*time.Second, time.Millisecond)
	require.Empty(t, world.mirror.Problems())
}

func TestAFrozenMirrorBringsNothingBack(t *testing.T) {
	world := newWorld(t)
	uid := world.createWidget(`{}`)
	world.publish(uid, 1, `{"state":"Good"}`)
	world.becomes("Good")
	world.mirror.Freeze()
	world.publish(uid, 1, `{"state":"Bad"}`)
	world.put(filepath.Join(world.runs, "status", "broken.json"), "{")
	world.tell()
	require.Eventually(t, func() bool { return len(world.mirror.Problems()) == 1 }, 10*time.Second, time.Millisecond)
	require.Equal(t, "Good", world.state(), "what was published is read, and not told")
	world.request("DELETE", "/apis/example.test/v1/namespaces/shop/widgets/a", "")
	_, err := os.Stat(world.file())
	require.ErrorIs(t, err, os.ErrNotExist, "files still go out")
}
