package apiserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	kjson "k8s.io/apimachinery/pkg/util/json"
)

var (
	errModified = errors.New("the object has been modified; please apply your changes to the latest version and try again")
	nothing     runtimeschema.GroupResource
)

// RoundTrip answers a request as an API server would. It never fails: what is wrong is in the response.
func (s *Server) RoundTrip(request *http.Request) (*http.Response, error) {
	code, answer := s.answer(request)
	body, contentType := answer, "text/plain"
	if _, isText := answer.([]byte); !isText {
		contentType = "application/json"
		encoded, err := json.Marshal(answer)
		if err != nil {
			return nil, fmt.Errorf("cannot encode an answer: %w", err)
		}
		body = encoded
	}
	text := body.([]byte)
	return &http.Response{
		Status:        strconv.Itoa(code) + " " + http.StatusText(code),
		StatusCode:    code,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        http.Header{"Content-Type": []string{contentType}},
		Body:          io.NopCloser(bytes.NewReader(text)),
		ContentLength: int64(len(text)),
		Request:       request,
	}, nil
}

// answer gives a status code and what goes into the body: text as it is, anything else as JSON.
func (s *Server) answer(request *http.Request) (int, any) {
	code, answer, err := s.dispatch(request)
	if err == nil {
		return code, answer
	}
	var failure apierrors.APIStatus
	if !errors.As(err, &failure) {
		failure = apierrors.NewInternalError(err)
	}
	status := failure.Status()
	status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	return int(status.Code), &status
}

func (s *Server) dispatch(request *http.Request) (int, any, error) {
	target, ok := parseTarget(request.URL.Path)
	if !ok {
		return 0, nil, s.refuse("%s %s", request.Method, request.URL.Path)
	}
	kind := s.findKind(func(k *kind) bool {
		return k.group == target.group && k.plural == target.resource && k.serves(target.version)
	})
	if kind == nil {
		return 0, nil, s.refuse("%s %s/%s %s", request.Method, target.group, target.version, target.resource)
	}
	if target.name == "" {
		return s.onCollection(request, kind, target)
	}
	return s.onObject(request, kind, target)
}

func (s *Server) onCollection(request *http.Request, kind *kind, target target) (int, any, error) {
	switch request.Method {
	case http.MethodPost:
		object, err := read(request)
		if err != nil {
			return 0, nil, err
		}
		if kind.namespaced {
			object.SetNamespace(target.namespace)
		}
		created, err := s.create(kind, target.version, object, request.UserAgent())
		return http.StatusCreated, kind.view(target.version, created), err
	case http.MethodGet:
		list, err := s.list(request, kind, target)
		return http.StatusOK, list, err
	}
	return 0, nil, s.refuse("%s %s", request.Method, target.shape())
}

func (s *Server) onObject(request *http.Request, kind *kind, target target) (int, any, error) {
	key := kind.key(target.namespace, target.name)
	verb := request.Method + " " + target.subresource
	var object *unstructured.Unstructured
	var err error
	switch verb {
	case "GET ":
		object, err = s.get(kind, key)
	case "GET log":
		text, err := s.log(request, kind, key)
		return http.StatusOK, text, err
	case "PUT ", "PUT status":
		object, err = s.put(request, kind, target, key)
	case "PATCH ":
		object, err = s.patch(request, kind, target, key)
	case "DELETE ":
		object, err = s.remove(kind, key, request.UserAgent())
	default:
		return 0, nil, s.refuse("%s %s", request.Method, target.shape())
	}
	return http.StatusOK, kind.view(target.version, object), err
}

func (s *Server) get(kind *kind, key Key) (*unstructured.Unstructured, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	entry, ok := s.objects[key]
	if !ok {
		return nil, apierrors.NewNotFound(kind.groupResource(), key.Name)
	}
	return entry.object, nil
}

func (s *Server) put(request *http.Request, kind *kind, target target, key Key) (*unstructured.Unstructured, error) {
	object, err := read(request)
	if err != nil {
		return nil, err
	}
	if object.GetName() != key.Name {
		return nil, apierrors.NewBadRequest("the name of the object does not match the name on the URL")
	}
	object.SetNamespace(key.Namespace)
	if target.subresource == "status" {
		return s.updateStatus(kind, target.version, key, object, request.UserAgent())
	}
	return s.update(kind, target.version, key, object, request.UserAgent())
}

// patch applies a JSON merge patch (RFC 7396) twice: to the object, and to what the user had sent before.
func (s *Server) patch(request *http.Request, kind *kind, target target, key Key) (*unstructured.Unstructured, error) {
	if how := request.Header.Get("Content-Type"); how != "application/merge-patch+json" {
		return nil, s.refuse("PATCH %s as %s", target.shape(), how)
	}
	patch, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	return s.change(kind, target.version, key, request.UserAgent(), Updated, func(old *entry) (*unstructured.Unstructured, *unstructured.Unstructured, error) {
		object, err := merged(kind.view(target.version, old.object), patch)
		if err != nil {
			return nil, nil, err
		}
		submitted, err := merged(old.submitted, patch)
		return keepOurs(kind, old.object, object), submitted, err
	})
}

func merged(object *unstructured.Unstructured, patch []byte) (*unstructured.Unstructured, error) {
	text, err := object.MarshalJSON()
	if err != nil {
		return nil, err
	}
	text, err = jsonpatch.MergePatch(text, patch)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return decode(text)
}

func (s *Server) list(request *http.Request, kind *kind, target target) (*unstructured.UnstructuredList, error) {
	query := request.URL.Query()
	if query.Get("watch") != "" {
		return nil, s.refuse("watch %s", target.shape())
	}
	byLabel, err := labels.Parse(query.Get("labelSelector"))
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	byField, err := fields.ParseSelector(query.Get("fieldSelector"))
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion(kind.apiVersion(target.version))
	list.SetKind(kind.name + "List")
	list.Items = []unstructured.Unstructured{}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	list.SetResourceVersion(strconv.FormatInt(s.revision, 10))
	for _, key := range s.keysOf(kind, target.namespace) {
		object := s.objects[key].object
		named := fields.Set{"metadata.name": key.Name, "metadata.namespace": key.Namespace}
		if byLabel.Matches(labels.Set(object.GetLabels())) && byField.Matches(named) {
			list.Items = append(list.Items, *kind.view(target.version, object))
		}
	}
	return list, nil
}

func (s *Server) log(request *http.Request, kind *kind, key Key) ([]byte, error) {
	query := request.URL.Query()
	if s.logs == nil || kind.name != "Pod" || query.Has("follow") || query.Has("previous") || query.Has("tailLines") {
		return nil, s.refuse("GET log of %s with %s", kind.plural, query.Encode())
	}
	var since time.Time
	if text := query.Get("sinceTime"); text != "" {
		parsed, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		since = parsed
	}
	text, ok := s.logs.Log(key.Namespace, key.Name, query.Get("container"), since)
	if !ok {
		return nil, apierrors.NewBadRequest("there is no log of " + key.String())
	}
	return text, nil
}

// view is an object as a version shows it. Definitions with several versions differ in name only here: none of those
// that are installed converts.
func (k *kind) view(version string, object *unstructured.Unstructured) *unstructured.Unstructured {
	if object == nil || object.GetAPIVersion() == k.apiVersion(version) {
		return object
	}
	shown := object.DeepCopy()
	shown.SetAPIVersion(k.apiVersion(version))
	return shown
}

func read(request *http.Request) (*unstructured.Unstructured, error) {
	if request.Body == nil {
		return nil, apierrors.NewBadRequest("the request has no body")
	}
	text, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	return decode(text)
}

// decode reads numbers as integers where they are, as the schemas want them.
func decode(text []byte) (*unstructured.Unstructured, error) {
	var tree map[string]any
	if err := kjson.Unmarshal(text, &tree); err != nil {
		return nil, apierrors.NewBadRequest("not JSON: " + err.Error())
	}
	return &unstructured.Unstructured{Object: tree}, nil
}
