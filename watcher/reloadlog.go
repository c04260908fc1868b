package watcher

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/rs/zerolog"

	"k8s-sidecar-injector/conf"
)

// reloadLog logs the differences between one reload and the next. Unchanged state is not logged again.
type reloadLog struct {
	log      zerolog.Logger
	rejected map[conf.Origin]string // the errors
	repeat   bool                   // log all rejections of the next reload
	served   map[conf.Ref]string    // the digests
}

// source logs the result of reading a source if it is not the one of before.
func (l *reloadLog) source(source Source, before, now error) {
	switch {
	case sameText(before, now):
	case now == nil:
		l.log.Info().Stringer("source", source).Msg("source can be read")
	case errors.Is(now, ErrNotSynced):
		l.log.Info().Stringer("source", source).Err(now).Msg("waiting for the source to sync")
	default:
		l.log.Error().Stringer("source", source).Err(now).
			Msg("source cannot be read; its last documents stay in service")
	}
}

// published logs a new snapshot and its differences from the previous one.
func (l *reloadLog) published(generation uint64, set *conf.Set) {
	before := l.served
	l.served = make(map[conf.Ref]string, len(set.Sidecars))
	var added, changed, removed []string
	for _, sidecar := range set.Sidecars {
		l.served[sidecar.Ref] = sidecar.Digest
		switch digest, known := before[sidecar.Ref]; {
		case !known:
			added = append(added, sidecar.Ref.String())
		case digest != sidecar.Digest:
			changed = append(changed, sidecar.Ref.String())
		}
	}
	for ref := range before {
		if _, ok := l.served[ref]; !ok {
			removed = append(removed, ref.String())
		}
	}
	slices.Sort(removed)
	event := l.log.Info()
	addSnapshot(event, generation, set)
	addNames(event, "added", added)
	addNames(event, "changed", changed)
	addNames(event, "removed", removed)
	event.Msg("snapshot published")
}

// unchanged logs an explicit reload without changes.
func (l *reloadLog) unchanged(generation uint64, set *conf.Set) {
	event := l.log.Info()
	addSnapshot(event, generation, set)
	event.Msg("reloaded, no changes")
}

// addSnapshot adds a description of a snapshot to a log event.
func addSnapshot(event *zerolog.Event, generation uint64, set *conf.Set) {
	event.Uint64("generation", generation).
		Str("digest", set.Digest).
		Int("sidecars", len(set.Sidecars)).
		Int("rejections", len(set.Rejections)).
		Int("stale", countStale(set))
}

// maxNames limits the names in a log line.
const maxNames = 20

// addNames adds a list of names to a log event, unless it is empty.
func addNames(event *zerolog.Event, key string, names []string) {
	if len(names) > maxNames {
		names = append(names[:maxNames:maxNames], fmt.Sprintf("and %d more", len(names)-maxNames))
	}
	if len(names) > 0 {
		event.Strs(key, names)
	}
}

// rejections logs rejections that are new, have other errors, or are gone.
func (l *reloadLog) rejections(list []conf.Rejection) {
	before := l.rejected
	l.rejected = make(map[conf.Origin]string, len(list))
	for _, rejection := range list {
		text := rejection.Errors.Error()
		l.rejected[rejection.Origin] = text
		if l.repeat || before[rejection.Origin] != text {
			l.rejection(rejection)
		}
	}
	l.repeat = false
	for _, origin := range slices.SortedFunc(maps.Keys(before), conf.Origin.Compare) {
		if _, ok := l.rejected[origin]; !ok {
			l.log.Info().Stringer("origin", origin).Msg("rejection cleared")
		}
	}
}

func (l *reloadLog) rejection(rejection conf.Rejection) {
	stale := make([]string, len(rejection.Stale))
	for i, ref := range rejection.Stale {
		stale[i] = ref.String()
	}
	for _, err := range rejection.Errors.Errors {
		if panicked, ok := errors.AsType[*conf.PanicError](err); ok {
			l.log.Error().Stringer("origin", rejection.Origin).Bytes("stack", panicked.Stack).
				Msg("loading a document panicked")
		}
	}
	l.log.Error().
		Stringer("origin", rejection.Origin).
		Errs("errors", rejection.Errors.Errors).
		Strs("still_served", stale).
		Msg("document rejected")
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

// sameText reports whether two errors have the same text, or both are nil.
func sameText(a, b error) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Error() == b.Error()
}
