package kubelet

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// volumes are directories that stand for the mounts of a container.
type volumes struct {
	// places by the path that the container knows.
	places map[string]string
}

// mount writes the Secrets and ConfigMaps that a container mounts below root. An error that is NotFound means that one
// of them is not there yet.
func mount(ctx context.Context, reader client.Reader, root, namespace string, spec *corev1.PodSpec) (volumes, error) {
	mounted := volumes{places: make(map[string]string)}
	for _, place := range spec.Containers[0].VolumeMounts {
		for _, volume := range spec.Volumes {
			if volume.Name != place.Name {
				continue
			}
			directory := filepath.Join(root, volume.Name)
			files, err := content(ctx, reader, namespace, &volume)
			if err != nil {
				return mounted, err
			}
			if err := write(directory, files); err != nil {
				return mounted, err
			}
			mounted.places[place.MountPath] = directory
		}
	}
	return mounted, nil
}

// content gives the files of a volume by name.
func content(ctx context.Context, reader client.Reader, namespace string, volume *corev1.Volume) (map[string][]byte, error) {
	files := make(map[string][]byte)
	switch {
	case volume.Secret != nil:
		var secret corev1.Secret
		key := client.ObjectKey{Namespace: namespace, Name: volume.Secret.SecretName}
		if err := reader.Get(ctx, key, &secret); err != nil {
			return nil, err
		}
		for name, value := range secret.Data {
			files[fileOf(name, volume.Secret.Items)] = value
		}
	case volume.ConfigMap != nil:
		var config corev1.ConfigMap
		key := client.ObjectKey{Namespace: namespace, Name: volume.ConfigMap.Name}
		if err := reader.Get(ctx, key, &config); err != nil {
			return nil, err
		}
		for name, value := range config.Data {
			files[fileOf(name, volume.ConfigMap.Items)] = []byte(value)
		}
	}
	delete(files, "")
	return files, nil
}

// fileOf is the name of a key's file; empty for a key that is not among the items, where there are any.
func fileOf(key string, items []corev1.KeyToPath) string {
	if len(items) == 0 {
		return key
	}
	for _, item := range items {
		if item.Key == key {
			return item.Path
		}
	}
	return ""
}

func write(directory string, files map[string][]byte) error {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(directory, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// translate puts our directory in the place of a path that the container knows.
func (v volumes) translate(value string) string {
	for path, directory := range v.places {
		if rest, ok := strings.CutPrefix(value, path); ok && (rest == "" || rest[0] == '/') {
			return directory + rest
		}
	}
	return value
}
