package kubelet

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gateway.internal/conformance/apiserver"
)

// newWorld is a server whose pods' program cannot be started: what is left is what a cluster's controllers do.
func newWorld(t *testing.T) (client.Client, *Kubelet) {
	t.Helper()
	server := apiserver.New()
	client, err := server.Client()
	require.NoError(t, err)
	kubelet := newKubelet(client, Images{Echo: filepath.Join(t.TempDir(), "nothing")}, network{}, t.TempDir())
	t.Cleanup(kubelet.Stop)
	server.Observe(kubelet.Observe)
	server.ServeLogs(kubelet)
	require.NoError(t, client.Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}))
	return client, kubelet
}

func deployment(replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": "cart"}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: "cart", Image: "registry/echo-basic:v1", Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: 3000}},
				}}},
			},
		},
	}
}

func pods(t *testing.T, c client.Client) (names []string) {
	t.Helper()
	var list corev1.PodList
	require.NoError(t, c.List(context.Background(), &list, client.InNamespace("shop")))
	for _, pod := range list.Items {
		names = append(names, pod.Name)
	}
	return names
}

func TestADeploymentHasItsPodsAtOnceAndTheyGoWithIt(t *testing.T) {
	ctx := context.Background()
	c, kubelet := newWorld(t)
	made := deployment(2)
	require.NoError(t, c.Create(ctx, made))
	before := pods(t, c)
	require.Len(t, before, 2)
	for _, name := range before {
		parts := strings.Split(name, "-")
		require.Equal(t, "cart", strings.Join(parts[:len(parts)-2], "-"), "the suite finds the Deployment by two parts less")
		_, ok := kubelet.Log("shop", name, "cart", time.Time{})
		require.True(t, ok)
	}
	made.Labels = map[string]string{"team": "a"}
	require.NoError(t, c.Update(ctx, made))
	require.Equal(t, before, pods(t, c), "nothing of the pods has changed")
	*made.Spec.Replicas = 3
	require.NoError(t, c.Update(ctx, made))
	require.Subset(t, pods(t, c), before)
	require.Len(t, pods(t, c), 3)
	made.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "A", Value: "b"}}
	require.NoError(t, c.Update(ctx, made))
	require.Len(t, pods(t, c), 3)
	require.NotSubset(t, pods(t, c), before[:1], "another template has other pods")
	require.NoError(t, c.Delete(ctx, made))
	require.Empty(t, pods(t, c))
}

func TestAProgramThatCannotBeStartedIsAProblem(t *testing.T) {
	c, kubelet := newWorld(t)
	require.NoError(t, c.Create(context.Background(), deployment(1)))
	require.Eventually(t, func() bool {
		var pod corev1.Pod
		err := c.Get(context.Background(), client.ObjectKey{Namespace: "shop", Name: pods(t, c)[0]}, &pod)
		return err == nil && pod.Status.Phase == corev1.PodFailed
	}, 10*time.Second, time.Millisecond)
	require.Contains(t, kubelet.Problems()[0], "cannot start")
}

func TestTheSliceOfAServiceFollowsItsPods(t *testing.T) {
	ctx := context.Background()
	c, _ := newWorld(t)
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart"},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "cart"},
			Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("web")}},
		},
	}
	require.NoError(t, c.Create(ctx, service))
	slice := func() (slice discoveryv1.EndpointSlice) {
		require.NoError(t, c.Get(ctx, client.ObjectKey{Namespace: "shop", Name: "cart-pods"}, &slice))
		return slice
	}
	require.Equal(t, "cart", slice().Labels[discoveryv1.LabelServiceName])
	require.Empty(t, slice().Endpoints)
	require.NoError(t, c.Create(ctx, deployment(1)))
	var pod corev1.Pod
	require.NoError(t, c.Get(ctx, client.ObjectKey{Namespace: "shop", Name: pods(t, c)[0]}, &pod))
	require.Eventually(t, func() bool { return len(slice().Endpoints) == 1 }, 10*time.Second, time.Millisecond)
	require.False(t, *slice().Endpoints[0].Conditions.Ready)
	require.EqualValues(t, 3000, *slice().Ports[0].Port)
	require.NoError(t, c.Delete(ctx, service))
	err := c.Get(ctx, client.ObjectKey{Namespace: "shop", Name: "cart-pods"}, &discoveryv1.EndpointSlice{})
	require.NoError(t, client.IgnoreNotFound(err))
	require.Error(t, err)
}

func TestAServiceWithoutASelectorHasNoSliceOfOurs(t *testing.T) {
	c, _ := newWorld(t)
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "manual"}}
	require.NoError(t, c.Create(context.Background(), service))
	var slices discoveryv1.EndpointSliceList
	require.NoError(t, c.List(context.Background(), &slices))
	require.Empty(t, slices.Items)
}

func TestTheFilesOfAVolumeAreItsItems(t *testing.T) {
	ctx := context.Background()
	c, _ := newWorld(t)
	root := t.TempDir()
	spec := &corev1.PodSpec{
		Containers: []corev1.Container{{VolumeMounts: []corev1.VolumeMount{{Name: "certificates", MountPath: "/etc/certificates"}}}},
		Volumes: []corev1.Volume{{Name: "certificates", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
			SecretName: "tls", Items: []corev1.KeyToPath{{Key: "tls.crt", Path: "crt"}},
		}}}},
	}
	_, err := mount(ctx, c, root, "shop", spec)
	require.Error(t, err)
	require.NoError(t, client.IgnoreNotFound(err), "it is waited for")
	require.NoError(t, c.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "tls"},
		Data:       map[string][]byte{"tls.crt": []byte("CERTIFICATE"), "tls.key": []byte("KEY")},
	}))
	volumes, err := mount(ctx, c, root, "shop", spec)
	require.NoError(t, err)
	path := volumes.translate("/etc/certificates/crt")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "CERTIFICATE", string(text))
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, "/etc/certificates-other", volumes.translate("/etc/certificates-other"))
}

func TestSocketsAreReadFromTheKernelsTables(t *testing.T) {
	table := `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 00000000:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0
   1: 0100007F:0BB9 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0
`
	require.Equal(t, []uint16{3000}, served(bufio.NewScanner(strings.NewReader(table)), listening))
}

func TestTheModeOfTheEchoServerDecidesItsPorts(t *testing.T) {
	images := Images{Echo: "echo", DNS: "dns"}
	for _, mode := range []struct {
		variables map[string]string
		ports     []port
	}{
		{nil, []port{{"tcp", 3000}, {"tcp", 3001}}},
		{map[string]string{"TLS_SERVER_CERT": "x"}, []port{{"tcp", 3000}, {"tcp", 3001}, {"tcp", 8443}}},
		{map[string]string{"GRPC_ECHO_SERVER": "1"}, []port{{"tcp", 3000}}},
		{map[string]string{"TCP_ECHO_SERVER": "1"}, []port{{"tcp", 3000}, {"tcp", 8443}}},
		{map[string]string{"UDP_ECHO_SERVER": "1"}, []port{{"udp", 8080}}},
	} {
		program, err := images.program("registry/gateway-api/echo-basic:v1.2", mode.variables)
		require.NoError(t, err)
		require.Equal(t, mode.ports, program.ports, mode.variables)
	}
	_, err := images.program("registry/postgres", nil)
	require.ErrorContains(t, err, "nothing stands for")
}

func TestALogIsReadFromATimeOn(t *testing.T) {
	now := time.Unix(100, 0)
	log := &lineLog{now: func() time.Time { return now }}
	_, _ = log.Write([]byte("one\ntw"))
	now = now.Add(time.Second)
	_, _ = log.Write([]byte("o\nthree"))
	require.Equal(t, "one\ntwo\n", string(log.since(time.Time{})))
	require.Equal(t, "two\n", string(log.since(now)), "a line is as old as its end")
	require.Empty(t, log.since(now.Add(time.Second)))
}

func TestDNSAnswersWithOneAddress(t *testing.T) {
	name := dnsmessage.MustNewName("foo.bar.com.")
	query := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	text, err := query.Pack()
	require.NoError(t, err)
	text, err = answer(text)
	require.NoError(t, err)
	var got dnsmessage.Message
	require.NoError(t, got.Unpack(text))
	require.EqualValues(t, 7, got.ID)
	require.True(t, got.Response)
	require.Equal(t, [4]byte{192, 0, 2, 53}, got.Answers[0].Body.(*dnsmessage.AResource).A)
	_, err = answer([]byte("not a query"))
	require.Error(t, err)
}
