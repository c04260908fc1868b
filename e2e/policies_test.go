package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Messages of the policies.
const (
	refusedConfiguration = "may change only the caBundle"
	refusedManagers      = "may not change the managedFields of others"
	refusedSecret        = "may write only the data of Secrets of type Opaque"
)

// fieldManager is the injector's field manager.
const fieldManager = "k8s-sidecar-injector"

// maxBundle is the largest caBundle, in bytes of PEM.
const maxBundle = 64 << 10

// madeUp is an owner that does not exist. The garbage collector deletes its dependents.
const madeUp = `[{"apiVersion":"v1","kind":"Namespace","name":"x","uid":"11111111-2222-3333-4444-555555555555"}]`

// metadataPatches returns values for the fields of metadata. An empty value means that the API server
// itself rejects or ignores changes of the field.
func metadataPatches() map[string]string {
	return map[string]string{
		"name": `"other"`, "namespace": `"default"`, "generateName": `"other-"`, "selfLink": `"/other"`,
		"uid": `"11111111-2222-3333-4444-555555555555"`, "resourceVersion": "", "generation": `77`,
		"creationTimestamp": `"2020-01-01T00:00:00Z"`,
		"deletionTimestamp": `"2020-01-01T00:00:00Z"`, "deletionGracePeriodSeconds": `0`,
		"labels": `{"a":"b"}`, "annotations": `{"kubernetes.io/service-account.name":"victim"}`,
		"ownerReferences": madeUp, "finalizers": `["example.com/keep"]`, "managedFields": `[{}]`,
	}
}

// webhookPatches returns valid values for the fields of webhooks that differ from those of the chart.
func webhookPatches() map[string]string {
	return map[string]string{
		"name":                           `"other.example.com"`,
		"clientConfig":                   `{"url":"https://attacker.example.com/"}`,
		"clientConfig.url":               "", // excludes service: see clientConfig
		"clientConfig.service":           `{"namespace":"default","name":"other","path":"/","port":443}`,
		"clientConfig.service.namespace": `"default"`,
		"clientConfig.service.name":      `"other"`,
		"clientConfig.service.path":      `"/other"`,
		"clientConfig.service.port":      `444`,
		"clientConfig.caBundle":          "", // may change
		"rules": `[{"apiGroups":["*"],"apiVersions":["*"],"resources":["secrets"],` +
			`"operations":["*"]}]`,
		"failurePolicy":                      `"Fail"`,
		"matchPolicy":                        `"Exact"`,
		"namespaceSelector":                  `{}`,
		"namespaceSelector.matchLabels":      `{"a":"b"}`,
		"namespaceSelector.matchExpressions": `[{"key":"a","operator":"Exists"}]`,
		"objectSelector":                     `{"matchLabels":{"a":"b"}}`,
		"objectSelector.matchLabels":         `{"a":"b"}`,
		"objectSelector.matchExpressions":    `[{"key":"a","operator":"Exists"}]`,
		"sideEffects":                        `"NoneOnDryRun"`,
		"timeoutSeconds":                     `29`,
		"admissionReviewVersions":            `["v1"]`,
		"reinvocationPolicy":                 `"Never"`,
		"matchConditions":                    `[{"name":"other","expression":"true"}]`,
	}
}

// secretPatches returns values for the fields of a Secret other than metadata.
func secretPatches() map[string]string {
	return map[string]string{
		"kind": "", "apiVersion": "", "metadata": "",
		"immutable": `true`, "type": `"kubernetes.io/service-account-token"`,
		"data": "", "stringData": "", // may change
	}
}

// fieldsOf returns the paths of all fields of a type and its structs. It does not descend into lists.
func fieldsOf(t reflect.Type, prefix string) (paths []string) {
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous && name == "" {
			paths = append(paths, fieldsOf(field.Type, prefix)...)
			continue
		}
		paths = append(paths, prefix+name)
		inner := field.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && name != "metadata" &&
			inner.PkgPath() != reflect.TypeFor[metav1.Time]().PkgPath() ||
			inner == reflect.TypeFor[metav1.LabelSelector]() {
			paths = append(paths, fieldsOf(inner, prefix+name+".")...)
		}
	}
	return paths
}

// patchesOf returns a JSON Patch below a pointer for each field of a type, by the path of the field.
func patchesOf(t *testing.T, typ reflect.Type, values map[string]string, pointer string) map[string]string {
	t.Helper()
	patches := make(map[string]string)
	for _, path := range fieldsOf(typ, "") {
		value, known := values[path]
		if !known {
			t.Errorf("the field %s of %s is new: add a value for its patch", path, typ)
		}
		if value != "" {
			patches[path] = fmt.Sprintf(`[{"op":"add","path":"%s/%s","value":%s}]`,
				pointer, strings.ReplaceAll(path, ".", "/"), value)
		}
	}
	return patches
}

// kept returns the fields of metadata that the API server itself resets.
func kept() []string {
	return []string{
		"name", "namespace", "uid", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
	}
}

// guarded is an object that the injector's token may write.
type guarded struct {
	*installation
	rest     rest.Interface // with that token
	admin    rest.Interface
	resource string
	name     string
	where    string // its namespace, or empty
	refusals []string
}

func (i *installation) guardedConfiguration(resource string) *guarded {
	i.Helper()
	return &guarded{
		installation: i,
		resource:     resource,
		name:         home,
		refusals:     []string{refusedConfiguration, refusedManagers},
		rest:         i.clientOf(i.identity.Kubeconfig).AdmissionregistrationV1().RESTClient(),
		admin:        i.client().AdmissionregistrationV1().RESTClient(),
	}
}

func (i *installation) guardedSecret() *guarded {
	i.Helper()
	return &guarded{
		installation: i,
		resource:     "secrets",
		name:         home + "-tls",
		where:        home,
		refusals:     []string{refusedSecret, refusedManagers},
		rest:         i.clientOf(i.identity.Kubeconfig).CoreV1().RESTClient(),
		admin:        i.client().CoreV1().RESTClient(),
	}
}

// patch patches the object with the injector's token.
func (g *guarded) patch(kind types.PatchType, patch string, parameters ...string) error {
	request := g.rest.Patch(kind).NamespaceIfScoped(g.where, g.where != "").Resource(g.resource).Name(g.name).
		Param("fieldManager", fieldManager).Body([]byte(patch))
	if kind == types.ApplyPatchType {
		request = request.Param("force", "true")
	}
	for _, parameter := range parameters {
		name, value, _ := strings.Cut(parameter, "=")
		request = request.Param(name, value)
	}
	return request.Do(g.Context()).Error()
}

// stored returns the object without the fields that every write changes.
func (g *guarded) stored() string {
	g.Helper()
	get := g.admin.Get().NamespaceIfScoped(g.where, g.where != "").Resource(g.resource).Name(g.name)
	raw, err := get.Do(g.Context()).Raw()
	must(g.T, err)
	var object map[string]any
	must(g.T, json.Unmarshal(raw, &object))
	metadata, _ := object["metadata"].(map[string]any)
	delete(metadata, "resourceVersion")
	delete(metadata, "managedFields")
	normal, err := json.Marshal(object)
	must(g.T, err)
	return string(normal)
}

// refused checks that the policy denied a write, without an error in the policy.
func (g *guarded) refused(what string, err error) {
	g.Helper()
	if !g.isRefusal(err) {
		g.Errorf("%s: %s: got %v, want a denial by the policy", g.resource, what, err)
	}
}

func (g *guarded) isRefusal(err error) bool {
	return err != nil && slices.ContainsFunc(g.refusals, func(refusal string) bool {
		return strings.Contains(err.Error(), refusal)
	})
}

// awaitPolicy waits until the API server enforces the policy.
func (g *guarded) awaitPolicy() {
	g.Helper()
	g.await("the policy of "+g.resource, func() error {
		err := g.patch(types.MergePatchType, `{"metadata":{"labels":{"a":"b"}}}`, "dryRun=All")
		if !g.isRefusal(err) {
			return fmt.Errorf("got %v from a patch", err) //nolint:errorlint // it may be nil
		}
		return nil
	})
}

// checkFields patches every field, also in a dry run.
func (g *guarded) checkFields(patches map[string]string) {
	g.Helper()
	before := g.stored()
	for path, patch := range patches {
		for _, parameters := range [][]string{{"dryRun=All"}, nil} {
			err := g.patch(types.JSONPatchType, patch, parameters...)
			// The API server itself rejects or ignores these.
			if !slices.Contains(kept(), path) {
				g.refused("a patch of "+path, err)
			}
		}
		if after := g.stored(); after != before {
			g.Fatalf("%s: a patch of %s changed\n%s\nto\n%s", g.resource, path, before, after)
		}
	}
}

// checkKinds tries a denied change in every patch format.
func (g *guarded) checkKinds(apiVersion, kind, change string) {
	g.Helper()
	g.refused("a merge patch", g.patch(types.MergePatchType, `{`+change+`}`))
	g.refused("a strategic merge patch", g.patch(types.StrategicMergePatchType, `{`+change+`}`))
	change = strings.Replace(change, `"metadata":{`, `"metadata":{"name":"`+g.name+`",`, 1)
	applied := fmt.Sprintf(`{"apiVersion":%q,"kind":%q,%s}`, apiVersion, kind, change)
	g.refused("an applied patch", g.patch(types.ApplyPatchType, applied))
}

// TestPatchesRefused checks that only the caBundle of webhook configurations can be patched. The injector's
// token cannot redirect other objects, or any objects elsewhere, or delete the configuration.
func TestPatchesRefused(t *testing.T) {
	t.Parallel()
	i := installManifests(t)
	i.checkGuard(1)
	i.checkTypes(home+"-configurations", home+"-secret")
}

// checkGuard checks that only the caBundle can be patched, of this number of webhooks for pods and of the
// webhook for definitions.
func (i *installation) checkGuard(webhooks int) {
	i.Helper()
	mutating := i.guardedConfiguration("mutatingwebhookconfigurations")
	mutating.awaitPolicy()
	mutating.checkConfiguration("MutatingWebhookConfiguration",
		reflect.TypeFor[admissionregistrationv1.MutatingWebhook](), webhooks)
	validating := i.guardedConfiguration("validatingwebhookconfigurations")
	validating.awaitPolicy()
	validating.checkConfiguration("ValidatingWebhookConfiguration",
		reflect.TypeFor[admissionregistrationv1.ValidatingWebhook](), 2)
}

func (g *guarded) checkConfiguration(kind string, webhook reflect.Type, webhooks int) {
	g.Helper()
	g.checkFields(patchesOf(g.T, reflect.TypeFor[metav1.ObjectMeta](), metadataPatches(), "/metadata"))
	for n := range webhooks {
		g.checkFields(patchesOf(g.T, webhook, webhookPatches(), fmt.Sprintf("/webhooks/%d", n)))
	}
	g.checkKinds("admissionregistration.k8s.io/v1", kind, `"metadata":{"ownerReferences":`+madeUp+`}`)
	added := `{"name":"a.example.com","clientConfig":{"url":"https://a.example.com/"},` +
		`"sideEffects":"None","admissionReviewVersions":["v1"]}`
	g.checkFields(map[string]string{
		"added webhook":       `[{"op":"add","path":"/webhooks/-","value":` + added + `}]`,
		"added first webhook": `[{"op":"add","path":"/webhooks/0","value":` + added + `}]`,
		"removed webhook":     `[{"op":"remove","path":"/webhooks/0"}]`,
		"emptied webhooks":    `[{"op":"replace","path":"/webhooks","value":[]}]`,
		"webhooks of null":    `[{"op":"replace","path":"/webhooks","value":null}]`,
		"removed webhooks":    `[{"op":"remove","path":"/webhooks"}]`,
		"removed labels":      `[{"op":"remove","path":"/metadata/labels"}]`,
		"another's field":     `[{"op":"replace","path":"/metadata/managedFields/0/manager","value":"other"}]`,
		"an entry's fields":   `[{"op":"replace","path":"/metadata/managedFields/0/fieldsV1","value":{"f:webhooks":{}}}]`,
		"caBundle and policy": `[{"op":"add","path":"/webhooks/0/clientConfig/caBundle","value":null},` +
			`{"op":"add","path":"/webhooks/0/failurePolicy","value":"Fail"}]`,
		"a caBundle over limit": g.bundlePatch(0, maxBundle+3),
	})
	if webhooks > 1 {
		g.checkFields(map[string]string{"order": `[{"op":"move","from":"/webhooks/0","path":"/webhooks/1"}]`})
	}
	for n := range webhooks {
		must(g.T, g.patch(types.JSONPatchType, g.bundlePatch(n, maxBundle)))
		empty := fmt.Sprintf(`[{"op":"add","path":"/webhooks/%d/clientConfig/caBundle","value":null}]`, n)
		must(g.T, g.patch(types.JSONPatchType, empty))
	}
}

// bundlePatch returns a patch with a caBundle of that size: the cluster's CA and a comment.
func (g *guarded) bundlePatch(webhook, size int) string {
	bundle := g.ca(g.T)
	bundle = append(bundle, bytes.Repeat([]byte("\n"), size-len(bundle))...)
	return fmt.Sprintf(`[{"op":"add","path":"/webhooks/%d/clientConfig/caBundle","value":%q}]`,
		webhook, base64.StdEncoding.EncodeToString(bundle))
}

// checkTypes checks that the API server has no type warnings about policies.
func (i *installation) checkTypes(names ...string) {
	i.Helper()
	for _, name := range names {
		var policy *admissionregistrationv1.ValidatingAdmissionPolicy
		i.await("the types of "+name+" to be checked", func() (err error) {
			policies := i.client().AdmissionregistrationV1().ValidatingAdmissionPolicies()
			policy, err = policies.Get(i.Context(), name, metav1.GetOptions{})
			if err == nil && (policy.Status.ObservedGeneration != policy.Generation || policy.Status.TypeChecking == nil) {
				err = errors.New("they are not yet")
			}
			return err
		})
		for _, warning := range policy.Status.TypeChecking.ExpressionWarnings {
			i.Errorf("%s: %s: %s", name, warning.FieldRef, warning.Warning)
		}
	}
}

// checkSecret checks that only the data of the Secret can be written and created, for the Secret of the
// manifests and for one that the injector creates.
func (i *installation) checkSecret() {
	i.Helper()
	g := i.guardedSecret()
	g.awaitPolicy()
	g.checkSecretFields(metadataPatches())
	must(i.T, i.client().CoreV1().Secrets(home).Delete(i.Context(), g.name, metav1.DeleteOptions{}))
	g.checkCreation()
	patches := metadataPatches()
	patches["managedFields"] = "" // it has no other manager
	g.checkSecretFields(patches)
	g.checkSecretKept()
}

// apply applies the Secret with additional metadata and fields.
func (g *guarded) apply(metadata, fields string, parameters ...string) error {
	body := fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":%q%s}%s}`, g.name, metadata, fields)
	return g.patch(types.ApplyPatchType, body, parameters...)
}

// checkCreation checks that the Secret can be created only with the type Opaque and without metadata.
func (g *guarded) checkCreation() {
	g.Helper()
	for _, parameters := range [][]string{{"dryRun=All"}, nil} {
		for _, kind := range []corev1.SecretType{
			corev1.SecretTypeServiceAccountToken, corev1.SecretTypeBootstrapToken, "example.com/other",
		} {
			err := g.apply(`,"annotations":{"kubernetes.io/service-account.name":"victim"}`,
				fmt.Sprintf(`,"type":%q`, kind), parameters...)
			g.refused("creation with type "+string(kind), err)
		}
		g.refused("creation as immutable", g.apply("", `,"immutable":true`, parameters...))
		for _, field := range []string{"labels", "annotations", "ownerReferences", "finalizers", "generateName"} {
			g.refused("creation with "+field, g.apply(fmt.Sprintf(`,%q:%s`, field, metadataPatches()[field]), "", parameters...))
		}
	}
	_, err := g.client().CoreV1().Secrets(home).Get(g.Context(), g.name, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		g.Fatalf("the Secret cannot be created: %v", err)
	}
	must(g.T, g.apply("", ""))
}

func (g *guarded) checkSecretFields(metadata map[string]string) {
	g.Helper()
	must(g.T, g.patch(types.MergePatchType, `{"data":{"tls.crt":"eA=="}}`))
	g.checkFields(patchesOf(g.T, reflect.TypeFor[metav1.ObjectMeta](), metadata, "/metadata"))
	patches := patchesOf(g.T, reflect.TypeFor[corev1.Secret](), secretPatches(), "")
	delete(patches, "type") // the API server itself rejects it
	g.checkFields(patches)
	g.checkKinds("v1", "Secret", `"metadata":{"ownerReferences":`+madeUp+`}`)
	for _, more := range []string{`,"type":"kubernetes.io/service-account-token"`, `,"immutable":true`} {
		if err := g.apply("", more); err == nil {
			g.Errorf("the Secret was changed to %s", more)
		}
	}
}

// checkSecretKept checks that the Secret cannot be deleted, and that an update can change only its data.
func (g *guarded) checkSecretKept() {
	g.Helper()
	secrets := g.clientOf(g.identity.Kubeconfig).CoreV1().Secrets(home)
	only := metav1.ListOptions{FieldSelector: "metadata.name=" + g.name}
	list, err := secrets.List(g.Context(), only)
	must(g.T, err)
	secret := list.Items[0].DeepCopy()
	secret.Data["tls.key"] = []byte("x")
	if secret, err = secrets.Update(g.Context(), secret, metav1.UpdateOptions{}); err != nil {
		g.Fatalf("cannot update the data: %v", err)
	}
	secret.Finalizers = []string{"example.com/keep"}
	_, err = secrets.Update(g.Context(), secret, metav1.UpdateOptions{})
	g.refused("an update of finalizers", err)
	before := g.stored()
	for what, err := range map[string]error{
		"delete":            secrets.Delete(g.Context(), g.name, metav1.DeleteOptions{}),
		"delete as a list":  secrets.DeleteCollection(g.Context(), metav1.DeleteOptions{}, only),
		"replace by create": createSecret(g.Context(), g.clientOf(g.identity.Kubeconfig), g.name),
	} {
		if !apierrors.IsForbidden(err) {
			g.Errorf("%s the Secret: got %v", what, err)
		}
	}
	equal(g.T, "the Secret", g.stored(), before)
}

func createSecret(ctx context.Context, client kubernetes.Interface, name string) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}}
	_, err := client.CoreV1().Secrets(home).Create(ctx, secret, metav1.CreateOptions{})
	return err
}
