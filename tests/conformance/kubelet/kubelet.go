package kubelet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"gateway.internal/conformance/apiserver"
)

// Kubelet runs the pods of one server.
type Kubelet struct {
	client  client.Client
	images  Images
	network network
	// root is where volumes are mounted.
	root string

	// Each is held while its kind is looked after, from the look to the last write: of two at once, one would write
	// what it had seen before the other wrote. Deployments may be held when endpoints is taken, not the other way.
	deployments, endpoints sync.Mutex

	mutex    sync.Mutex
	number   int
	pods     map[client.ObjectKey]*pod
	logs     map[logKey]*lineLog
	problems []string
}

type logKey struct {
	pod       client.ObjectKey
	container string
}

// New makes the network. [Kubelet.Observe] is to be registered with the server that the client is of, and the Kubelet
// is where its logs come from. Volumes are mounted below root.
func New(client client.Client, images Images, root string) (*Kubelet, error) {
	network, err := newNetwork()
	if err != nil {
		return nil, fmt.Errorf("cannot make the pods' network: %w", err)
	}
	return newKubelet(client, images, network, root), nil
}

func newKubelet(client client.Client, images Images, network network, root string) *Kubelet {
	return &Kubelet{
		client:  client,
		images:  images,
		network: network,
		root:    root,
		pods:    make(map[types.NamespacedName]*pod),
		logs:    make(map[logKey]*lineLog),
	}
}

// Observe looks after what has changed: Pods of a Deployment exist before the request that made it is answered.
func (k *Kubelet) Observe(event apiserver.Event) {
	ctx := context.Background()
	key := client.ObjectKey{Namespace: event.Key.Namespace, Name: event.Key.Name}
	var err error
	switch event.Key.Kind {
	case "Deployment":
		err = k.deploy(ctx, key)
	case "Service":
		err = k.endpointsOf(ctx, key)
	case "Pod":
		err = k.endpointsIn(ctx, key.Namespace)
	}
	if err != nil {
		k.problem(event.Key.String(), err)
	}
}

func (k *Kubelet) problem(of string, err error) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	k.problems = append(k.problems, fmt.Sprintf("%s: %v", of, err))
}

// Problems are what went wrong: programs that could not be started or have ended, objects that could not be written.
func (k *Kubelet) Problems() []string {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	return slices.Clone(k.problems)
}

// Log implements [apiserver.Logs]; logs stay after their pods.
func (k *Kubelet) Log(namespace, pod, container string, since time.Time) ([]byte, bool) {
	k.mutex.Lock()
	log, ok := k.logs[logKey{client.ObjectKey{Namespace: namespace, Name: pod}, container}]
	k.mutex.Unlock()
	if !ok {
		return nil, false
	}
	return log.since(since), true
}

// Stop ends every process.
func (k *Kubelet) Stop() {
	k.mutex.Lock()
	pods := k.pods
	k.pods = make(map[types.NamespacedName]*pod)
	k.mutex.Unlock()
	for _, pod := range pods {
		pod.cancel()
	}
	for _, pod := range pods {
		pod.stop()
	}
}

// deploy makes the Pods of a Deployment those that it asks for. Pods whose template is the same go on.
func (k *Kubelet) deploy(ctx context.Context, key client.ObjectKey) error {
	k.deployments.Lock()
	defer k.deployments.Unlock()
	var deployment appsv1.Deployment
	err := k.client.Get(ctx, key, &deployment)
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	wanted := int32(0)
	if err == nil {
		wanted = 1
		if deployment.Spec.Replicas != nil {
			wanted = *deployment.Spec.Replicas
		}
	}
	kept := int32(0)
	for _, pod := range k.podsOf(key) {
		if kept < wanted && pod.isOf(&deployment) {
			kept++
			continue
		}
		if err := k.end(ctx, pod); err != nil {
			return err
		}
	}
	for ; kept < wanted; kept++ {
		if err := k.begin(ctx, &deployment); err != nil {
			return err
		}
	}
	return nil
}

// ownedBy is the annotation that names the Deployment of a Pod.
const ownedBy = "gateway.internal/deployment"

func (k *Kubelet) podsOf(deployment client.ObjectKey) (pods []*pod) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	for _, pod := range k.pods {
		if pod.object.Namespace == deployment.Namespace && pod.object.Annotations[ownedBy] == deployment.Name {
			pods = append(pods, pod)
		}
	}
	slices.SortFunc(pods, func(a, b *pod) int { return a.number - b.number })
	return pods
}

func (p *pod) isOf(deployment *appsv1.Deployment) bool {
	return reflect.DeepEqual(p.object.Spec, deployment.Spec.Template.Spec) &&
		reflect.DeepEqual(p.object.Labels, deployment.Spec.Template.Labels)
}

// begin makes a Pod and starts it, without waiting for it.
func (k *Kubelet) begin(ctx context.Context, deployment *appsv1.Deployment) error {
	template := deployment.Spec.Template.DeepCopy()
	k.mutex.Lock()
	number := k.number
	k.number++
	k.mutex.Unlock()
	object := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: deployment.Namespace,
			// The suite takes the last two parts off to find the Deployment.
			Name:        fmt.Sprintf("%s-%s-%05d", deployment.Name, digest(template), number),
			Labels:      template.Labels,
			Annotations: map[string]string{ownedBy: deployment.Name},
		},
		Spec: template.Spec,
	}
	if err := k.client.Create(ctx, object.DeepCopy()); err != nil {
		return err
	}
	life, cancel := context.WithCancel(ctx)
	pod := &pod{
		kubelet: k,
		object:  object,
		number:  number,
		log:     &lineLog{now: time.Now},
		cancel:  cancel,
		ended:   make(chan struct{}),
	}
	key := client.ObjectKeyFromObject(object)
	k.mutex.Lock()
	k.pods[key] = pod
	k.logs[logKey{key, object.Spec.Containers[0].Name}] = pod.log
	k.mutex.Unlock()
	go func() {
		defer close(pod.ended)
		if err := pod.run(life); err != nil {
			k.problem("Pod "+key.String(), err)
			_ = pod.report(ctx, corev1.PodFailed, corev1.ConditionFalse)
		}
	}()
	return nil
}

func (k *Kubelet) end(ctx context.Context, pod *pod) error {
	k.mutex.Lock()
	delete(k.pods, client.ObjectKeyFromObject(pod.object))
	k.mutex.Unlock()
	pod.stop()
	return client.IgnoreNotFound(k.client.Delete(ctx, pod.object))
}

// digest tells the pods of one template from those of the next.
func digest(template *corev1.PodTemplateSpec) string {
	text, err := json.Marshal(template)
	if err != nil {
		return "0"
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:4])
}
