package apiserver_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/gateway-api/apis/v1beta1"

	"gateway.internal/conformance/apiserver"
)

const group = "gateway.networking.k8s.io"

// oneLog knows one line of one container.
type oneLog struct{}

func (oneLog) Log(namespace, pod, container string, since time.Time) ([]byte, bool) {
	if namespace+"/"+pod+"/"+container != "shop/cart-1-2/cart" {
		return nil, false
	}
	if since.After(time.Unix(1000, 0)) {
		return nil, true
	}
	return []byte("hello\n"), true
}

type world struct {
	t      *testing.T
	server *apiserver.Server
	client client.Client
	events []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	world := &world{t: t}
	world.server = apiserver.New()
	world.server.ServeLogs(oneLog{})
	world.server.Observe(func(event apiserver.Event) {
		world.events = append(world.events, string(event.Change)+" "+event.Key.String())
	})
	require.NoError(t, world.server.Install(definitions(t)))
	world.events = nil
	var err error
	world.client, err = world.server.Client()
	require.NoError(t, err)
	world.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
	return world
}

// definitions is where the module cache has the definitions that the suite asks for.
func definitions(t *testing.T) string {
	t.Helper()
	directory, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	require.NoError(t, err)
	return filepath.Join(strings.TrimSpace(string(directory)), "config", "crd", "experimental")
}

func (w *world) create(object client.Object) {
	w.t.Helper()
	require.NoError(w.t, w.client.Create(context.Background(), object))
}

func (w *world) get(name string, object client.Object) {
	w.t.Helper()
	require.NoError(w.t, w.client.Get(context.Background(), client.ObjectKey{Namespace: "shop", Name: name}, object))
}

func gateway(name string) *gatewayv1.Gateway {
	return &gatewayv1.Gateway{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
		Spec: gatewayv1.GatewaySpec{
			GatewayClassName: "class",
			Listeners:        []gatewayv1.Listener{{Name: "http", Port: 80, Protocol: gatewayv1.HTTPProtocolType}},
		},
	}
}

func gatewayKey(name string) apiserver.Key {
	return apiserver.Key{Group: group, Kind: "Gateway", Namespace: "shop", Name: name}
}

func TestANewObjectHasTheServersMetadataAndTheSchemasDefaults(t *testing.T) {
	world := newWorld(t)
	world.create(gateway("a"))
	var got gatewayv1.Gateway
	world.get("a", &got)
	require.NotEmpty(t, got.UID)
	require.EqualValues(t, 1, got.Generation)
	require.Zero(t, got.CreationTimestamp.Nanosecond())
	require.Equal(t, gatewayv1.NamespacesFromSame, *got.Spec.Listeners[0].AllowedRoutes.Namespaces.From)
	require.Len(t, got.Status.Conditions, 2, "the status starts as the schema says")
	for _, condition := range got.Status.Conditions {
		require.Equal(t, metav1.ConditionUnknown, condition.Status)
		require.Zero(t, condition.ObservedGeneration)
	}
}

func TestWhatWasSubmittedStaysUndefaulted(t *testing.T) {
	world := newWorld(t)
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": group + "/v1", "kind": "HTTPRoute",
		"metadata": map[string]any{"namespace": "shop", "name": "cart"},
		"spec": map[string]any{
			"parentRefs": []any{map[string]any{"name": "a"}},
			"rules":      []any{map[string]any{"backendRefs": []any{map[string]any{"name": "cart", "port": int64(80)}}}},
		},
	}}
	sent := object.DeepCopy()
	world.create(object)
	key := apiserver.Key{Group: group, Kind: "HTTPRoute", Namespace: "shop", Name: "cart"}
	stored, ok := world.server.Object(key)
	require.True(t, ok)
	require.Equal(t, sent.Object["spec"], stored.Submitted.Object["spec"])
	matches, _, _ := unstructured.NestedSlice(stored.Object.Object["spec"].(map[string]any)["rules"].([]any)[0].(map[string]any), "matches")
	require.Len(t, matches, 1, "and what is read is defaulted")

	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"hostnames":["shop.example"]}}`))
	require.NoError(t, world.client.Patch(context.Background(), object, patch))
	stored, _ = world.server.Object(key)
	require.Equal(t, []any{"shop.example"}, stored.Submitted.Object["spec"].(map[string]any)["hostnames"])
	require.NotContains(t, stored.Submitted.Object["spec"].(map[string]any)["rules"].([]any)[0], "matches")
	require.EqualValues(t, 2, stored.Object.GetGeneration())
}

func TestGenerationsCountChangesOfTheSpecOnly(t *testing.T) {
	world := newWorld(t)
	world.create(gateway("a"))
	var got gatewayv1.Gateway
	world.get("a", &got)
	revision := got.ResourceVersion
	require.NoError(t, world.client.Update(context.Background(), &got))
	require.Equal(t, revision, got.ResourceVersion, "nothing has changed")

	got.Labels = map[string]string{"a": "b"}
	require.NoError(t, world.client.Update(context.Background(), &got))
	require.EqualValues(t, 1, got.Generation)
	require.NotEqual(t, revision, got.ResourceVersion)

	got.Spec.Listeners[0].Port = 8080
	require.NoError(t, world.client.Update(context.Background(), &got))
	require.EqualValues(t, 2, got.Generation)

	got.ResourceVersion = revision
	err := world.client.Update(context.Background(), &got)
	require.True(t, apierrors.IsConflict(err), "%v", err)
}

func TestAStatusIsWrittenBySubresourceOrByTheMirrorOnly(t *testing.T) {
	world := newWorld(t)
	world.create(gateway("a"))
	var got gatewayv1.Gateway
	world.get("a", &got)
	status := map[string]any{"addresses": []any{map[string]any{"type": "IPAddress", "value": "127.0.0.1"}}}
	taken, err := world.server.SetStatus(gatewayKey("a"), string(got.UID), 1, status)
	require.NoError(t, err)
	require.True(t, taken)

	world.get("a", &got)
	require.Equal(t, "127.0.0.1", got.Status.Addresses[0].Value)
	require.EqualValues(t, 1, got.Generation)
	got.Status.Addresses = nil
	got.Spec.Listeners[0].Port = 8080
	require.NoError(t, world.client.Update(context.Background(), &got))
	world.get("a", &got)
	require.Len(t, got.Status.Addresses, 1, "PUT keeps the status")

	got.Status.Addresses[0].Value = "127.0.0.2"
	got.Spec.Listeners[0].Port = 9090
	require.NoError(t, world.client.Status().Update(context.Background(), &got))
	world.get("a", &got)
	require.Equal(t, "127.0.0.2", got.Status.Addresses[0].Value)
	require.EqualValues(t, 8080, got.Spec.Listeners[0].Port, "PUT of the status keeps the spec")
}

func TestAStatusOfAnotherObjectOrOfTheFutureIsNotTaken(t *testing.T) {
	world := newWorld(t)
	world.create(gateway("a"))
	var got gatewayv1.Gateway
	world.get("a", &got)
	for _, asked := range []struct {
		key        apiserver.Key
		uid        string
		generation int64
	}{{gatewayKey("b"), string(got.UID), 1}, {gatewayKey("a"), "other", 1}, {gatewayKey("a"), string(got.UID), 2}} {
		taken, err := world.server.SetStatus(asked.key, asked.uid, asked.generation, map[string]any{})
		require.NoError(t, err)
		require.False(t, taken, asked)
	}
	_, err := world.server.SetStatus(gatewayKey("a"), string(got.UID), 1, map[string]any{"addresses": []any{map[string]any{}}})
	require.Error(t, err, "a status that the schema refuses is an error")
}

func TestAStatusThatIsWithdrawnIsThatOfANewObject(t *testing.T) {
	world := newWorld(t)
	world.create(gateway("a"))
	var fresh, got gatewayv1.Gateway
	world.get("a", &fresh)
	_, err := world.server.SetStatus(gatewayKey("a"), string(fresh.UID), 1, map[string]any{"conditions": []any{}})
	require.NoError(t, err)
	_, err = world.server.SetStatus(gatewayKey("a"), string(fresh.UID), 1, nil)
	require.NoError(t, err)
	world.get("a", &got)
	require.Equal(t, fresh.Status, got.Status)
}

func TestWhatTheSchemaRefusesIsRefused(t *testing.T) {
	world := newWorld(t)
	invalid := gateway("a")
	invalid.Spec.Listeners = append(invalid.Spec.Listeners, invalid.Spec.Listeners[0])
	err := world.client.Create(context.Background(), invalid)
	require.True(t, apierrors.IsInvalid(err), "two listeners of one name: %v", err)
	invalid = gateway("a")
	hostname := gatewayv1.Hostname("a.example")
	invalid.Spec.Listeners[0].Protocol, invalid.Spec.Listeners[0].Hostname = gatewayv1.TCPProtocolType, &hostname
	err = world.client.Create(context.Background(), invalid)
	require.True(t, apierrors.IsInvalid(err), "a hostname on TCP, which a CEL rule forbids: %v", err)
	require.Len(t, world.events, 1, "only the namespace came to be")
}

func TestNullsAndUnknownFieldsAreDropped(t *testing.T) {
	world := newWorld(t)
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": group + "/v1", "kind": "Gateway",
		"metadata": map[string]any{"namespace": "shop", "name": "a"},
		"spec": map[string]any{
			"gatewayClassName": "class", "addresses": nil, "unheard": "of",
			"listeners": []any{map[string]any{"name": "http", "port": int64(80), "protocol": "HTTP"}},
		},
	}}
	world.create(object)
	require.NotContains(t, object.Object["spec"], "addresses")
	require.NotContains(t, object.Object["spec"], "unheard")
}

func TestVersionsShareTheirObjects(t *testing.T) {
	world := newWorld(t)
	world.create(&v1beta1.ReferenceGrant{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "grant"},
		Spec: v1beta1.ReferenceGrantSpec{
			From: []v1beta1.ReferenceGrantFrom{{Group: group, Kind: "HTTPRoute", Namespace: "other"}},
			To:   []v1beta1.ReferenceGrantTo{{Kind: "Service"}},
		},
	})
	var got gatewayv1.ReferenceGrant
	world.get("grant", &got)
	require.EqualValues(t, "other", got.Spec.From[0].Namespace)
}

func TestCoreKinds(t *testing.T) {
	world := newWorld(t)
	ctx := context.Background()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "s"}, StringData: map[string]string{"a": "text"}}
	world.create(secret)
	world.get("s", secret)
	require.Equal(t, []byte("text"), secret.Data["a"])

	var namespace corev1.Namespace
	require.NoError(t, world.client.Get(ctx, client.ObjectKey{Name: "shop"}, &namespace))
	require.Equal(t, "shop", namespace.Labels["kubernetes.io/metadata.name"])

	err := world.client.Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "nowhere", Name: "s"}})
	require.True(t, apierrors.IsNotFound(err), "%v", err)
	err = world.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
	require.True(t, apierrors.IsAlreadyExists(err), "%v", err)

	var definitions apiextensionsv1.CustomResourceDefinitionList
	require.NoError(t, world.client.List(ctx, &definitions))
	require.Len(t, definitions.Items, 13)
}

func TestListsSelect(t *testing.T) {
	world := newWorld(t)
	ctx := context.Background()
	world.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "other"}})
	for _, name := range []string{"b", "a"} {
		labels := map[string]string{discoveryv1.LabelServiceName: name}
		world.create(&discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: labels}, AddressType: discoveryv1.AddressTypeIPv4})
	}
	world.create(&discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "a"}, AddressType: discoveryv1.AddressTypeIPv4})
	names := func(options ...client.ListOption) (names []string) {
		var list discoveryv1.EndpointSliceList
		require.NoError(t, world.client.List(ctx, &list, options...))
		for _, item := range list.Items {
			names = append(names, item.Namespace+"/"+item.Name)
		}
		return names
	}
	require.Equal(t, []string{"other/a", "shop/a", "shop/b"}, names())
	require.Equal(t, []string{"shop/a", "shop/b"}, names(client.InNamespace("shop")))
	require.Equal(t, []string{"shop/b"}, names(client.MatchingLabels{discoveryv1.LabelServiceName: "b"}))
	require.Equal(t, []string{"other/a", "shop/a"}, names(client.MatchingFields{"metadata.name": "a"}))
}

func TestANamespaceGoesWithItsContent(t *testing.T) {
	world := newWorld(t)
	ctx := context.Background()
	world.create(gateway("a"))
	require.NoError(t, world.client.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}))
	_, ok := world.server.Object(gatewayKey("a"))
	require.False(t, ok)
	require.Equal(t, []string{"created Namespace shop", "created Gateway." + group + " shop/a", "deleted Namespace shop", "deleted Gateway." + group + " shop/a"}, world.events)
	err := world.client.Delete(ctx, gateway("a"))
	require.True(t, apierrors.IsNotFound(err), "%v", err)
}

func TestLogsOfPods(t *testing.T) {
	world := newWorld(t)
	clients, err := kubernetes.NewForConfig(world.server.Config())
	require.NoError(t, err)
	since := func(second int64) *metav1.Time { return &metav1.Time{Time: time.Unix(second, 0)} }
	text, err := clients.CoreV1().Pods("shop").GetLogs("cart-1-2", &corev1.PodLogOptions{Container: "cart", SinceTime: since(1)}).DoRaw(context.Background())
	require.NoError(t, err)
	require.Equal(t, "hello\n", string(text))
	text, err = clients.CoreV1().Pods("shop").GetLogs("cart-1-2", &corev1.PodLogOptions{Container: "cart", SinceTime: since(2000)}).DoRaw(context.Background())
	require.NoError(t, err)
	require.Empty(t, text)
	_, err = clients.CoreV1().Pods("shop").GetLogs("cart-1-2", &corev1.PodLogOptions{Container: "other"}).DoRaw(context.Background())
	require.True(t, apierrors.IsBadRequest(err), "%v", err)
	require.Empty(t, world.server.Unserved())
}

func TestWhatIsNotServedIsRemembered(t *testing.T) {
	world := newWorld(t)
	ctx := context.Background()
	world.create(gateway("a"))
	require.Error(t, world.client.Patch(ctx, gateway("a"), client.RawPatch("application/json-patch+json", []byte(`[]`))))
	require.Error(t, world.client.DeleteAllOf(ctx, gateway("a"), client.InNamespace("shop")))
	require.Equal(t, []string{
		"DELETE gateway.networking.k8s.io/gateways",
		"PATCH gateway.networking.k8s.io/gateways/NAME as application/json-patch+json",
	}, world.server.Unserved())
}
