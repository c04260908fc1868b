package watcher

import (
	"errors"
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
			Msg("source cannot be read: what it last held stays in service until this is mended")
	}
}

// published notes a new snapshot.
func (j *journal) published(generation uint64, set *conf.Set) {
	j.log.Info().
		Uint64("generation", generation).
		Str("digest", set.Digest).
		Int("sidecars", len(set.Sidecars)).
		Int("rejections", len(set.Rejections)).
		Int("stale", countStale(set)).
		Msg("snapshot published")
}

// rejections notes those that are new or worded anew, and those that are gone.
func (j *journal) rejections(list []conf.Rejection) {
	before := j.rejected
	j.rejected = make(map[conf.Origin]string, len(list))
	for _, rejection := range list {
		text := rejection.Errors.Error()
		j.rejected[rejection.Origin] = text
		if before[rejection.Origin] != text {
			j.reject(rejection)
		}
	}
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
	j.log.Error().
		Stringer("origin", rejection.Origin).
		Errs("errors", rejection.Errors.Errors).
		Strs("stale", stale).
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
