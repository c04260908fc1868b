package watcher

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/rs/zerolog"

	"k8s-sidecar-injector/conf"
)

// journal writes what changed from one reload to the next. What stays as it is was said
// already.
type journal struct {
	log      zerolog.Logger
	rejected map[conf.Origin]string
	again    bool                // what was said already is said once more
	served   map[conf.Ref]string // with digests
}

// source notes how reading a source went, given how it went the time before.
func (j *journal) source(source Source, before, now error) {
	switch {
	case sameText(before, now):
	case now == nil:
		j.log.Info().Stringer("source", source).Msg("source can be read")
	case errors.Is(now, ErrNotSynced):
		j.log.Info().Stringer("source", source).Err(now).Msg("waiting for the source's first reading")
	default:
		j.log.Error().Stringer("source", source).Err(now).
			Msg("source cannot be read: what it held before, if anything, stays in service until this is mended")
	}
}

// published notes a new snapshot, and what is other in it than in the one before.
func (j *journal) published(generation uint64, set *conf.Set) {
	before := j.served
	j.served = make(map[conf.Ref]string, len(set.Sidecars))
	var added, changed, removed []string
	for _, sidecar := range set.Sidecars {
		j.served[sidecar.Ref] = sidecar.Digest
		switch digest, known := before[sidecar.Ref]; {
		case !known:
			added = append(added, sidecar.Ref.String())
		case digest != sidecar.Digest:
			changed = append(changed, sidecar.Ref.String())
		}
	}
	for ref := range before {
		if _, still := j.served[ref]; !still {
			removed = append(removed, ref.String())
		}
	}
	slices.Sort(removed)
	event := j.log.Info()
	describe(event, generation, set)
	list(event, "added", added)
	list(event, "changed", changed)
	list(event, "removed", removed)
	event.Msg("snapshot published")
}

// mostListed keeps a line readable where a thousand sidecars come at once.
const mostListed = 20

// list adds names to a line, unless there are none.
func list(event *zerolog.Event, key string, names []string) {
	if len(names) > mostListed {
		names = append(names[:mostListed:mostListed], fmt.Sprintf("and %d more", len(names)-mostListed))
	}
	if len(names) > 0 {
		event.Strs(key, names)
	}
}

// unchanged answers somebody who asked for a reload that changed nothing.
func (j *journal) unchanged(generation uint64, set *conf.Set) {
	event := j.log.Info()
	describe(event, generation, set)
	event.Msg("reloaded: the snapshot is what it was")
}

// describe adds what there is to say of any snapshot.
func describe(event *zerolog.Event, generation uint64, set *conf.Set) {
	event.Uint64("generation", generation).
		Str("digest", set.Digest).
		Int("sidecars", len(set.Sidecars)).
		Int("rejections", len(set.Rejections)).
		Int("stale", countStale(set))
}

// repeat forgets what was said already: somebody asks.
func (j *journal) repeat() {
	j.again = true
}

// rejections notes those that are new or worded anew, and those that are gone.
func (j *journal) rejections(list []conf.Rejection) {
	before := j.rejected
	j.rejected = make(map[conf.Origin]string, len(list))
	for _, rejection := range list {
		text := rejection.Errors.Error()
		j.rejected[rejection.Origin] = text
		if j.again || before[rejection.Origin] != text {
			j.reject(rejection)
		}
	}
	j.again = false
	for _, origin := range slices.SortedFunc(maps.Keys(before), conf.Origin.Compare) {
		if _, still := j.rejected[origin]; !still {
			j.log.Info().Stringer("origin", origin).Msg("rejection cleared")
		}
	}
}

func (j *journal) reject(rejection conf.Rejection) {
	stale := make([]string, len(rejection.Stale))
	for i, ref := range rejection.Stale {
		stale[i] = ref.String()
	}
	for _, err := range rejection.Errors.Errors {
		if panicked, ok := errors.AsType[*conf.PanicError](err); ok {
			j.log.Error().Stringer("origin", rejection.Origin).Bytes("stack", panicked.Stack).Msg("loading a document panicked")
		}
	}
	j.log.Error().
		Stringer("origin", rejection.Origin).
		Errs("errors", rejection.Errors.Errors).
		Strs("still_served", stale).
		Msg("document rejected: mend or remove it")
}

func countStale(set *conf.Set) int {
	count := 0
	for _, sidecar := range set.Sidecars {
		if sidecar.Stale {
			count++
		}
	}
	return count
}

// sameText compares errors as a reader of the log does.
func sameText(a, b error) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Error() == b.Error()
}
