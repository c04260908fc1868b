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
	served   map[string]string      // the digests, by ref
}

// source logs the result of reading a source, and before is that of the last time. That a source is not synced
// yet is normal at start.
func (l *reloadLog) source(source *sourceState, before, err error) {
	switch {
	case err == nil && errors.Is(before, ErrNotSynced):
		l.log.Debug().Stringer("source", source).Msg("source has synced")
	case err == nil:
		l.log.Info().Stringer("source", source).Msg("source can be read")
	case errors.Is(err, ErrNotSynced):
		l.log.Debug().Stringer("source", source).Err(err).Msg("waiting for the source to sync")
	case source.read:
		l.log.Error().Stringer("source", source).Err(err).
			Msg("source cannot be read; its last documents stay in service")
	default:
		l.log.Error().Stringer("source", source).Err(err).
			Msg("source cannot be read; none of its documents is in service")
	}
}

// snapshot logs the snapshot in service and its differences from the last one that was logged.
func (l *reloadLog) snapshot(message string, generation uint64, set *conf.Set) {
	before := l.served
	l.served = make(map[string]string, len(set.Sidecars))
	stale := 0
	var added, changed []string
	for _, sidecar := range set.Sidecars {
		if sidecar.Stale {
			stale++
		}
		ref := sidecar.Ref.String()
		switch digest, known := before[ref]; {
		case !known:
			added = append(added, ref)
		case digest != sidecar.Digest:
			changed = append(changed, ref)
		}
		l.served[ref] = sidecar.Digest
		delete(before, ref)
	}
	event := l.log.Info().
		Uint64("generation", generation).
		Str("digest", set.Digest).
		Int("sidecars", len(set.Sidecars)).
		Int("rejections", len(set.Rejections)).
		Int("stale", stale)
	addNames(event, "added", added)
	addNames(event, "changed", changed)
	addNames(event, "removed", slices.Sorted(maps.Keys(before)))
	event.Msg(message)
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

// rejections logs rejections that are new, changed or cleared. An explicit reload logs all.
func (l *reloadLog) rejections(list []conf.Rejection, explicit bool) {
	before := l.rejected
	l.rejected = make(map[conf.Origin]string, len(list))
	for _, rejection := range list {
		text := rejection.Errors.Error()
		if explicit || before[rejection.Origin] != text {
			l.rejection(rejection)
		}
		l.rejected[rejection.Origin] = text
		delete(before, rejection.Origin)
	}
	for _, origin := range slices.SortedFunc(maps.Keys(before), conf.Origin.Compare) {
		l.log.Info().Stringer("origin", origin).Msg("rejection cleared")
	}
}

func (l *reloadLog) rejection(rejection conf.Rejection) {
	stale := make([]string, len(rejection.Stale))
	for i, ref := range rejection.Stale {
		stale[i] = ref.String()
	}
	if panicked, ok := errors.AsType[*conf.PanicError](rejection.Errors); ok {
		l.log.Error().Stringer("origin", rejection.Origin).Bytes("stack", panicked.Stack).
			Msg("loading a document panicked")
	}
	l.log.Error().
		Stringer("origin", rejection.Origin).
		Errs("errors", rejection.Errors.Errors).
		Strs("still_served", stale).
		Msg("document rejected")
}
