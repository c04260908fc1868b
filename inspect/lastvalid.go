package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	jsonv2 "github.com/go-json-experiment/json"

	"k8s-sidecar-injector/conf"
	"k8s-sidecar-injector/store"
)

var (
	errDifferentVersions = errors.New("the replicas serve different versions")
	errNoListing         = errors.New("the response is not a listing of sidecars")

	digestFormat = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// LastValid returns the sidecars whose documents are rejected and whose last valid version the replicas serve. The
// port is the lifecycle port. Replicas that do not respond are ignored if others do. Origin is that of the rejected
// document. The error is not nil if the sidecars are not known.
func (i *Installation) LastValid(ctx context.Context, port int) ([]conf.ListedSidecar, error) {
	list, err := i.pods(ctx)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	var versions [][]conf.ListedSidecar
	texts, errs := i.client.readPods(ctx, list, port, "api", "v1", "sidecars")
	for n, text := range texts {
		if err = errs[n]; err != nil {
			continue
		}
		version, err := parseLastValid(text)
		if err != nil {
			return nil, fmt.Errorf("pod %s/%s: %w", i.Namespace, list[n].Name, err)
		}
		versions = append(versions, version)
	}
	if versions == nil {
		return nil, err
	}
	for _, version := range versions[1:] {
		if !slices.EqualFunc(versions[0], version, sameVersion) {
			return nil, errDifferentVersions
		}
	}
	return versions[0], nil
}

func sameVersion(a, b conf.ListedSidecar) bool { return a.Ref == b.Ref && a.Digest == b.Digest }

// parseLastValid parses the response of /api/v1/sidecars. Another program may have sent it.
func parseLastValid(text string) ([]conf.ListedSidecar, error) {
	var listing conf.Listing
	if jsonv2.Unmarshal([]byte(text), &listing) != nil || listing.Items == nil {
		return nil, errNoListing
	}
	found := []conf.ListedSidecar{}
	for _, s := range listing.Items {
		at := slices.IndexFunc(listing.Rejections, func(r conf.ListedRejection) bool {
			return slices.Contains(r.Stale, s.Ref)
		})
		if !s.Stale || at < 0 {
			continue
		}
		if ref, err := conf.ParseRef(s.Ref); err != nil || ref.String() != s.Ref || !digestFormat.MatchString(s.Digest) {
			return nil, errNoListing
		}
		s.Origin, s.Warnings = listing.Rejections[at].Origin, []string{}
		found = append(found, s)
	}
	return found, nil
}

// LoadLastValid is Load with sidecars of which only LastValid is known. They are in the snapshot without what they
// inject, and with their digest. The rejections are those of Load.
func (s *Settings) LoadLastValid(
	ctx context.Context, documents []conf.Document, rejections []conf.Rejection, sidecars []conf.ListedSidecar,
) (*store.Snapshot, error) {
	digests := make(map[string]string)
	var earlier []conf.Document
	for n := range sidecars {
		sidecar := &sidecars[n]
		digests[sidecar.Ref] = sidecar.Digest
		at := slices.IndexFunc(rejections, func(r conf.Rejection) bool {
			return r.Origin.String() == sidecar.Origin || r.Ref.String() == sidecar.Ref
		})
		if at >= 0 {
			origin := rejections[at].Origin
			origin.Index = n // unique in the file
			earlier = append(earlier, conf.Document{Origin: origin, Line: 1, Content: withoutElementsOf(sidecar)})
		}
	}
	old, err := s.Rules.Load(ctx, earlier, nil)
	if err == nil && len(old.Rejections) > 0 {
		err = errNoListing
	}
	if err != nil {
		return nil, err
	}
	set, err := s.Rules.Load(ctx, documents, old)
	if err != nil {
		return nil, err
	}
	for _, sidecar := range set.Sidecars {
		if sidecar.Stale {
			sidecar.Digest = digests[sidecar.Ref.String()] // the load has made a copy
		}
	}
	return publish(set), nil
}

// withoutElementsOf returns a definition with the restrictions and parameters of a sidecar.
func withoutElementsOf(s *conf.ListedSidecar) []byte {
	definition := map[string]any{
		"name": s.Ref, "os": s.OS, "allowedNamespaces": s.AllowedNamespaces, "skipHostNetworkPods": s.SkipHostNetworkPods,
	}
	if s.InJobs == conf.InJobsSkip { // the others need containers
		definition["inJobs"] = s.InJobs
	}
	parameters := make(map[string]any)
	for _, p := range s.Parameters {
		declaration := map[string]any{"type": p.Type}
		for name, value := range map[string]string{"from": p.From, "min": p.Min, "max": p.Max, "pattern": p.Pattern} {
			if value != "" {
				declaration[name] = value
			}
		}
		if p.Default != nil {
			declaration["default"] = *p.Default
		}
		if len(p.Enum) > 0 {
			declaration["enum"] = p.Enum
		}
		parameters[p.Name] = declaration
	}
	definition["parameters"] = parameters
	text, err := json.Marshal(definition)
	if err != nil {
		panic(err) // it has only strings
	}
	return text
}
