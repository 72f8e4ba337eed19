package kubelet

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// endpointsIn brings the EndpointSlices of a namespace's Services up to date.
func (k *Kubelet) endpointsIn(ctx context.Context, namespace string) error {
	var services corev1.ServiceList
	if err := k.client.List(ctx, &services, client.InNamespace(namespace)); err != nil {
		return err
	}
	for _, service := range services.Items {
		if err := k.endpointsOf(ctx, client.ObjectKeyFromObject(&service)); err != nil {
			return err
		}
	}
	return nil
}

// endpointsOf brings the EndpointSlice of one Service up to date. A Service without a selector has none of ours.
func (k *Kubelet) endpointsOf(ctx context.Context, key client.ObjectKey) error {
	k.endpoints.Lock()
	defer k.endpoints.Unlock()
	var service corev1.Service
	err := k.client.Get(ctx, key, &service)
	if apierrors.IsNotFound(err) {
		slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: sliceName(key.Name)}}
		return client.IgnoreNotFound(k.client.Delete(ctx, slice))
	}
	if err != nil || len(service.Spec.Selector) == 0 {
		return err
	}
	var pods corev1.PodList
	selector := client.MatchingLabelsSelector{Selector: labels.SelectorFromSet(service.Spec.Selector)}
	if err := k.client.List(ctx, &pods, client.InNamespace(key.Namespace), selector); err != nil {
		return err
	}
	return k.put(ctx, endpointSlice(&service, pods.Items))
}

func sliceName(service string) string { return service + "-pods" }

// put creates a slice or brings it up to date.
func (k *Kubelet) put(ctx context.Context, wanted *discoveryv1.EndpointSlice) error {
	var slice discoveryv1.EndpointSlice
	err := k.client.Get(ctx, client.ObjectKeyFromObject(wanted), &slice)
	if apierrors.IsNotFound(err) {
		return k.client.Create(ctx, wanted)
	}
	if err != nil {
		return err
	}
	slice.Labels, slice.Ports, slice.Endpoints = wanted.Labels, wanted.Ports, wanted.Endpoints
	return k.client.Update(ctx, &slice)
}

// endpointSlice is what a cluster's controller would write: a port per port of the Service, an endpoint per Pod that
// has an address.
func endpointSlice(service *corev1.Service, pods []corev1.Pod) *discoveryv1.EndpointSlice {
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: service.Namespace,
			Name:      sliceName(service.Name),
			Labels: map[string]string{
				discoveryv1.LabelServiceName: service.Name,
				discoveryv1.LabelManagedBy:   "kubelet.gateway.internal",
			},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	for _, port := range service.Spec.Ports {
		protocol := port.Protocol
		if protocol == "" {
			protocol = corev1.ProtocolTCP
		}
		number := targetPort(&port, pods)
		slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{
			Name: &port.Name, Protocol: &protocol, Port: &number, AppProtocol: port.AppProtocol,
		})
	}
	for _, pod := range pods {
		if pod.Status.PodIP == "" {
			continue
		}
		ready := isReady(&pod)
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses:  []string{pod.Status.PodIP},
			Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &ready},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name},
		})
	}
	return slice
}

// targetPort is the port of the pods that a port of a Service leads to.
func targetPort(port *corev1.ServicePort, pods []corev1.Pod) int32 {
	if port.TargetPort.Type == intstr.Int && port.TargetPort.IntVal != 0 {
		return port.TargetPort.IntVal
	}
	for _, pod := range pods {
		for _, container := range pod.Spec.Containers {
			for _, named := range container.Ports {
				if port.TargetPort.StrVal != "" && named.Name == port.TargetPort.StrVal {
					return named.ContainerPort
				}
			}
		}
	}
	return port.Port
}

func isReady(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
