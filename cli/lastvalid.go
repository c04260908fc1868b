package cli

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/inspect"
)

var errUnknownInstallation = errors.New("the Deployment of the injector is not known")

// addLastValid adds the last valid versions of rejected definitions that the replicas serve, without what they inject.
// It reports their refs or, if they cannot be read, the definitions that may have a last valid version.
func (in *inspection) addLastValid(ctx context.Context, installation *inspect.Installation, report io.Writer) {
	rejections := slices.DeleteFunc(slices.Collect(in.snapshot.Rejections()), func(r conf.Rejection) bool {
		return in.snapshot.Sidecar(r.Ref) != nil
	})
	if in.client == nil || len(rejections) == 0 {
		return
	}
	if err := in.readLastValid(ctx, installation, rejections); err != nil {
		in.lastValidUnknown = true
		reportf(report, "warning: until they restart, replicas may serve the last valid version of %s, which is not known "+
			"here: %v\n", strings.Join(slices.Compact(slices.Sorted(slices.Values(texts(rejections, rejectedName)))), ", "), err)
		return
	}
	if len(in.lastValid) > 0 {
		reportf(report, "warning: until they restart, the replicas serve the last valid version of %s, whose content is "+
			"not known here\n", strings.Join(texts(in.lastValid, func(s conf.ListedSidecar) string { return s.Ref }), ", "))
	}
}

// rejectedName returns the ref of a rejected document, or its origin if the name cannot be read.
func rejectedName(r conf.Rejection) string {
	if r.Ref == (conf.Ref{}) {
		return "sidecars in " + r.Origin.String()
	}
	return r.Ref.String()
}

func (in *inspection) readLastValid(
	ctx context.Context, installation *inspect.Installation, rejections []conf.Rejection,
) error {
	if installation == nil {
		return errUnknownInstallation
	}
	serve, _, err := parseServe(installation)
	if err != nil {
		return err
	}
	sidecars, err := installation.LastValid(ctx, serve.lifecyclePort)
	if err != nil || len(sidecars) == 0 {
		return err
	}
	snapshot, err := in.settings.LoadLastValid(ctx, in.documents, rejections, sidecars)
	if err != nil {
		return err
	}
	in.snapshot = snapshot
	for s := range snapshot.Sidecars() {
		at := slices.IndexFunc(sidecars, func(l conf.ListedSidecar) bool { return l.Ref == s.Ref.String() })
		if s.Stale && at >= 0 {
			in.lastValid = append(in.lastValid, sidecars[at])
		}
	}
	return nil
}

// listed describes a sidecar of the snapshot.
func (in *inspection) listed(s *conf.Sidecar) conf.ListedSidecar {
	at := slices.IndexFunc(in.lastValid, func(l conf.ListedSidecar) bool { return l.Ref == s.Ref.String() })
	if at >= 0 {
		return in.lastValid[at]
	}
	return s.Listed()
}
