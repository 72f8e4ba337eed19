package journal_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gateway.internal/conformance/apiserver"
	"gateway.internal/conformance/journal"
)

func TestALineSaysWhichTestDidWhat(t *testing.T) {
	var lines bytes.Buffer
	server := apiserver.New()
	server.Observe(journal.New(server, &lines).Observe)
	config := server.Config()
	config.UserAgent = "suite::v1::TestOfServices::Gateway"
	options, err := server.Options()
	require.NoError(t, err)
	client, err := client.New(config, options)
	require.NoError(t, err)
	for _, object := range []struct{ namespace, name string }{{"", "shop"}, {"shop", "cart"}} {
		meta := metav1.ObjectMeta{Namespace: object.namespace, Name: object.name}
		if object.namespace == "" {
			require.NoError(t, client.Create(context.Background(), &corev1.Namespace{ObjectMeta: meta}))
			continue
		}
		require.NoError(t, client.Create(context.Background(), &corev1.Secret{
			ObjectMeta: meta, StringData: map[string]string{"key": "hush"},
		}))
		require.NoError(t, client.Create(context.Background(), &corev1.Service{
			ObjectMeta: meta, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP},
		}))
	}
	require.Contains(t, lines.String(), "TestOfServices                 created  Service shop/cart generation 0 {\"type\":\"ClusterIP\"}\n")
	require.NotContains(t, lines.String(), "hush")
}
