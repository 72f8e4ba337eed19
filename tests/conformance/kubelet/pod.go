package kubelet

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// lookEvery is how often it is looked whether a program listens, or what it waits for is there.
const lookEvery = 10 * time.Millisecond

// pod is one Pod, from the moment at which its object exists.
type pod struct {
	kubelet *Kubelet
	object  *corev1.Pod
	number  int
	log     *lineLog
	cancel  context.CancelFunc
	ended   chan struct{}
}

// run runs the pod's process until the context ends. An error says why it ended before.
func (p *pod) run(ctx context.Context) error {
	// The process dies with the thread that started it, so that none outlives us.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	volumes, err := p.mount(ctx)
	if err != nil {
		return ignoreCancelled(ctx, err)
	}
	program, environment, err := p.environment(volumes)
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, program.path)
	command.Env, command.Stdout, command.Stderr = environment, p.log, p.log
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		return fmt.Errorf("cannot start %s in a network namespace: %w", program.path, err)
	}
	err = p.becomeReady(ctx, command.Process.Pid, program.ports)
	if err != nil {
		_ = command.Process.Kill()
	}
	ending := command.Wait()
	if err == nil && ctx.Err() == nil {
		err = fmt.Errorf("its process has ended: %v", ending)
	}
	return ignoreCancelled(ctx, err)
}

func ignoreCancelled(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// mount waits for the Secrets that are made after the pod.
func (p *pod) mount(ctx context.Context) (volumes, error) {
	root := filepath.Join(p.kubelet.root, p.object.Namespace, p.object.Name)
	for {
		mounted, err := mount(ctx, p.kubelet.client, root, p.object.Namespace, &p.object.Spec)
		if !apierrors.IsNotFound(err) {
			return mounted, err
		}
		if err := wait(ctx); err != nil {
			return mounted, err
		}
	}
}

func wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(lookEvery):
		return nil
	}
}

// environment finds the container's program and its variables.
func (p *pod) environment(volumes volumes) (program, []string, error) {
	container := &p.object.Spec.Containers[0]
	variables := make(map[string]string)
	for _, variable := range container.Env {
		value := volumes.translate(variable.Value)
		if from := variable.ValueFrom; from != nil && from.FieldRef != nil {
			known := map[string]string{"metadata.name": p.object.Name, "metadata.namespace": p.object.Namespace}
			field, ok := known[from.FieldRef.FieldPath]
			if !ok {
				return program{}, nil, fmt.Errorf("the field %s is not known", from.FieldRef.FieldPath)
			}
			value = field
		}
		variables[variable.Name] = value
	}
	program, err := p.kubelet.images.program(container.Image, variables)
	environment := program.variables
	for name, value := range variables {
		environment = append(environment, name+"="+value)
	}
	return program, environment, err
}

// becomeReady joins the process to the network and waits until it serves.
func (p *pod) becomeReady(ctx context.Context, pid int, ports []port) error {
	if err := p.kubelet.network.join(p.number, pid); err != nil {
		return err
	}
	for {
		ready, err := listens(pid, ports)
		if err != nil {
			return fmt.Errorf("its process has ended before it listened: %s", p.log.since(time.Time{}))
		}
		if ready {
			break
		}
		if err := wait(ctx); err != nil {
			return err
		}
	}
	return p.report(ctx, corev1.PodRunning, corev1.ConditionTrue)
}

// report writes the pod's status.
func (p *pod) report(ctx context.Context, phase corev1.PodPhase, ready corev1.ConditionStatus) error {
	address := p.kubelet.network.address(p.number)
	var now corev1.Pod
	if err := p.kubelet.client.Get(ctx, client.ObjectKeyFromObject(p.object), &now); err != nil {
		return err
	}
	now.Status = corev1.PodStatus{
		Phase:  phase,
		PodIP:  address,
		PodIPs: []corev1.PodIP{{IP: address}},
		Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: ready, LastTransitionTime: metav1.Now()},
		},
	}
	return p.kubelet.client.Status().Update(ctx, &now)
}

// stop ends the process, waits for it, and removes what was mounted.
func (p *pod) stop() {
	p.cancel()
	<-p.ended
	_ = os.RemoveAll(filepath.Join(p.kubelet.root, p.object.Namespace, p.object.Name))
}
