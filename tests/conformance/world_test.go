package conformance

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"gateway.internal/conformance/apiserver"
	"gateway.internal/conformance/appliance"
	"gateway.internal/conformance/journal"
	"gateway.internal/conformance/kubelet"
	"gateway.internal/conformance/mirror"
)

// className is that of the GatewayClass, which a suite expects to be there.
const className = "gateway"

// world is everything that a suite finds when it comes to a cluster.
type world struct {
	server  *apiserver.Server
	client  client.Client
	kubelet *kubelet.Kubelet
	mirror  *mirror.Mirror
	// gateway is nil where none is wanted.
	gateway *appliance.Appliance
}

// newWorld starts everything; it ends with the test, whatever becomes of it.
func newWorld(t *testing.T) *world {
	out := options.out
	require.NoError(t, os.RemoveAll(out))
	require.NoError(t, appliance.Directories(out))
	server := apiserver.New()
	require.NoError(t, server.Install(options.crdDir))
	client, err := server.Client()
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	images := kubelet.Images{Echo: options.echo, DNS: self}
	kubelet, err := kubelet.New(client, images, filepath.Join(out, "volumes"))
	require.NoError(t, err)
	t.Cleanup(kubelet.Stop)
	lines, err := os.Create(filepath.Join(out, "journal.log"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = lines.Close() })
	mirror := mirror.New(server, appliance.ConfigDir(out), appliance.RuntimeDir(out))
	server.ServeLogs(kubelet)
	// Files first: whatever else follows from a change finds the gateway told of it.
	server.Observe(mirror.Observe)
	server.Observe(journal.New(server, lines).Observe)
	server.Observe(kubelet.Observe)
	world := &world{server: server, client: client, kubelet: kubelet, mirror: mirror}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go mirror.Follow(ctx)
	world.startGateway(t, ctx)
	require.NoError(t, client.Create(ctx, &gatewayv1.GatewayClass{
		ObjectMeta: metav1.ObjectMeta{Name: className},
		Spec:       gatewayv1.GatewayClassSpec{ControllerName: appliance.ControllerName},
	}))
	return world
}

func (w *world) startGateway(t *testing.T, ctx context.Context) {
	binary := options.gateway
	switch binary {
	case none:
		return
	case frozen:
		binary = os.Getenv("GATEWAY_BIN")
	}
	version, err := exec.Command(binary, "--version").Output()
	require.NoError(t, err, "cannot run the gateway; is -gateway the path of its binary?")
	options.version = strings.TrimSpace(strings.TrimPrefix(string(version), "gateway"))
	w.gateway, err = appliance.Start(ctx, binary, options.out)
	require.NoError(t, err)
	t.Cleanup(func() {
		ended := w.gateway.HasEnded()
		if err := w.gateway.Stop(); err != nil {
			verdict.wrong = append(verdict.wrong, err.Error())
		} else if ended {
			verdict.wrong = append(verdict.wrong, "the gateway ended before it was asked to")
		}
	})
}

// published are the features that the gateway claims.
func (w *world) published(t *testing.T) (features []string) {
	var class gatewayv1.GatewayClass
	require.NoError(t, w.client.Get(context.Background(), client.ObjectKey{Name: className}, &class))
	for _, feature := range class.Status.SupportedFeatures {
		features = append(features, string(feature.Name))
	}
	return features
}

// problems are what went wrong with the world itself: a run with one of them proves nothing.
func (w *world) problems() (problems []string) {
	for _, request := range w.server.Unserved() {
		problems = append(problems, "the suite asked for what the API server's stand-in does not serve: "+request)
	}
	problems = append(problems, w.mirror.Problems()...)
	return append(problems, w.kubelet.Problems()...)
}
