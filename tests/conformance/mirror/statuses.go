package mirror

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "k8s.io/apimachinery/pkg/util/json"

	"gateway.internal/conformance/apiserver"
)

// published is a status file of the gateway.
type published struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name       string `json:"name"`
		Namespace  string `json:"namespace"`
		UID        string `json:"uid"`
		Generation int64  `json:"generation"`
	} `json:"metadata"`
	Status map[string]any `json:"-"`
}

func (p *published) key() (apiserver.Key, error) {
	version, err := schema.ParseGroupVersion(p.APIVersion)
	return apiserver.Key{Group: version.Group, Kind: p.Kind, Namespace: p.Metadata.Namespace, Name: p.Metadata.Name}, err
}

// parse reads a status file; integers stay integers, as the schemas want them.
func parse(text []byte) (*published, error) {
	var file published
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	var whole map[string]any
	if err := kjson.Unmarshal(text, &whole); err != nil {
		return nil, err
	}
	status, ok := whole["status"].(map[string]any)
	if !ok {
		return nil, errors.New("it has no status")
	}
	file.Status = status
	return &file, nil
}

// stamp tells one version of a file from the next: the gateway renames a new file over the old one.
type stamp struct {
	inode    uint64
	modified int64
}

func stampOf(info fs.FileInfo) stamp {
	inode := uint64(0)
	if system, ok := info.Sys().(*syscall.Stat_t); ok {
		inode = system.Ino
	}
	return stamp{inode: inode, modified: info.ModTime().UnixNano()}
}

// statusFiles are the status files of a gateway, as they were when they were last read.
type statusFiles struct {
	root string
	seen map[string]seenFile
}

type seenFile struct {
	stamp stamp
	file  *published
}

// read gives the files that are new or other than at the last call, and those that are gone.
func (s *statusFiles) read() (changed, gone []*published, err error) {
	present := make(map[string]bool)
	err = filepath.WalkDir(s.root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".json" {
			return ignoreVanished(err)
		}
		info, err := entry.Info()
		if err != nil {
			return ignoreVanished(err)
		}
		present[path] = true
		stamp := stampOf(info)
		if s.seen[path].stamp == stamp {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return ignoreVanished(err)
		}
		file, err := parse(text)
		if err != nil {
			return fmt.Errorf("cannot read the status file %s: %w", path, err)
		}
		s.seen[path] = seenFile{stamp: stamp, file: file}
		changed = append(changed, file)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	for path, seen := range s.seen {
		if !present[path] {
			gone = append(gone, seen.file)
			delete(s.seen, path)
		}
	}
	return changed, gone, nil
}

// ignoreVanished: a file may go between being listed and being read.
func ignoreVanished(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
