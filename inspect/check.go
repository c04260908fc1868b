package inspect

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// Status is the result of a check.
type Status string

// The statuses.
const (
	Passed Status = "ok"
	Warned Status = "warning"
	Failed Status = "failed"
	// Skipped means that the check does not apply, or that the caller lacks a permission.
	Skipped Status = "skipped"
)

// Result is the result of one check.
type Result struct {
	Category string `json:"category"`
	// Name identifies the check. It is also the heading of its section in docs/check.md.
	Name   string `json:"name"`
	Status Status `json:"status"`
	// Message has one line.
	Message string `json:"message"`
	// Hint is what to do. It is empty unless the status is Warned or Failed.
	Hint string `json:"hint"`
	Docs string `json:"docs"`
	// Unreachable means that the check failed because no API server responds.
	Unreachable bool `json:"-"`
}

// Serving are the flags of an installation about its ports, certificate and Events.
type Serving struct {
	Port, LifecyclePort int
	// Secret has the certificate that the injector manages itself. It is empty otherwise.
	Secret types.NamespacedName
	// CertFile is the file with the certificate in the container. It is empty if the injector manages the certificate.
	CertFile string
	// Configurations are the webhook configurations whose caBundle the injector manages.
	Configurations []string
	Events         bool
}

// CheckOptions configure checks.
type CheckOptions struct {
	// Name is the Deployment of the injector. It is empty to find it.
	Name types.NamespacedName
	// Namespace is that of the trial pod. Before an installation, it is the namespace to install in.
	Namespace string
	// InPod is whether the addresses of Services can be reached. Outside a cluster, other machines may have them.
	InPod bool
	// ReadFlags parses the flags of an installation. The warnings are about flags that are not known.
	ReadFlags func(*Installation) (settings *Settings, serving *Serving, warnings []string, err error)
}

// check is a check of an installation, or of a cluster before one.
type check struct {
	category, name string
	// fatal checks skip all later ones if they fail.
	fatal bool
	hint  string
	run   func(*checkup, context.Context) outcome
}

// outcome is the status of a check, its message, and a hint. Without a hint, that of the check applies.
type outcome struct {
	status        Status
	message, hint string
	unreachable   bool // whether no API server responds
}

func passed(format string, args ...any) outcome {
	return outcome{status: Passed, message: fmt.Sprintf(format, args...)}
}

func warned(format string, args ...any) outcome {
	return outcome{status: Warned, message: fmt.Sprintf(format, args...)}
}

func failed(format string, args ...any) outcome {
	return outcome{status: Failed, message: fmt.Sprintf(format, args...)}
}

func skipped(format string, args ...any) outcome {
	return outcome{status: Skipped, message: fmt.Sprintf(format, args...)}
}

// withHint returns the outcome with a hint.
func (o outcome) withHint(format string, args ...any) outcome {
	o.hint = fmt.Sprintf(format, args...)
	return o
}

// Check checks an installation, and calls visit with each result.
func (c *Client) Check(ctx context.Context, options CheckOptions, visit func(Result)) {
	newCheckup(ctx, c, options).run(ctx, checks(), visit)
}

// CheckBefore checks whether the injector can be installed, and calls visit with each result.
func (c *Client) CheckBefore(ctx context.Context, options CheckOptions, visit func(Result)) {
	newCheckup(ctx, c, options).run(ctx, checksBefore(), visit)
}

func (c *checkup) run(ctx context.Context, list []check, visit func(Result)) {
	fatal := ""
	for _, check := range list {
		o := skipped("not checked, because %s failed", fatal)
		if fatal == "" {
			c.current = check.name
			o = check.run(c, ctx)
		}
		if check.fatal && o.status == Failed {
			fatal = check.name
		}
		result := Result{
			Category: check.category, Name: check.name, Status: o.status,
			Message: strings.Join(strings.Fields(o.message), " "), Docs: "docs/check.md#" + check.name,
			Unreachable: o.unreachable,
		}
		if o.status == Warned || o.status == Failed {
			result.Hint = cmp.Or(o.hint, check.hint)
		}
		visit(result)
	}
}

// unreadable returns the outcome of a check that needs an object which cannot be read. A lack of a permission is no
// failure of the installation. Only the first check that needs the object has the error.
func (c *checkup) unreadable(err error) outcome {
	first, found := c.reported[err.Error()]
	switch {
	case found:
		return skipped("not checked: see %s", first)
	case apierrors.IsForbidden(err):
		c.reported[err.Error()] = c.current
		return skipped("%v", err)
	}
	c.reported[err.Error()] = c.current
	o := failed("%v", err)
	if missing := strings.Contains(err.Error(), "the server could not find the requested resource"); missing {
		return o.withHint("the API server does not serve this API: enable it, or upgrade the cluster")
	}
	return o
}

// lacksPermission reports whether the authorization of the API server denies a request. Admission, and servers behind
// the API server, also respond that a request is forbidden.
func lacksPermission(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "forbidden: User ")
}

// worst returns the worst outcome of the problems, or the other one if there are none.
func worst(problems []outcome, otherwise outcome) outcome {
	if len(problems) == 0 {
		return otherwise
	}
	result := outcome{status: Warned}
	var messages []string
	for _, problem := range problems {
		if problem.status == Failed {
			result.status = Failed
		}
		messages = append(messages, problem.message)
	}
	result.message = limited(messages, "; ")
	return result
}

// limited joins texts, at most ten of them.
func limited(texts []string, separator string) string {
	const most = 10
	if len(texts) > most {
		texts = append(texts[:most:most], fmt.Sprintf("and %d more", len(texts)-most))
	}
	return strings.Join(texts, separator)
}

// create creates an object, and returns the API server's warnings. The response is decoded into result, which may be
// nil.
func (c *Client) create(
	ctx context.Context, r resource, namespace string, dryRun bool, body []byte, result any,
) (warnings []string, err error) {
	request := c.rest.Post().AbsPath(r.prefix).NamespaceIfScoped(namespace, namespace != "").Resource(r.name).
		WarningHandler(rest.NoWarnings{}).SetHeader("Content-Type", "application/json").MaxRetries(0).Body(body)
	if dryRun {
		request.Param("dryRun", "All")
	}
	response := request.Do(ctx)
	for _, warning := range response.Warnings() {
		warnings = append(warnings, warning.Text)
	}
	if err = response.Error(); err == nil && result != nil {
		err = decode(response, result)
	}
	return warnings, err
}
