package cli

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/tools/record/util"

	"k8s-sidecar-injector/server"
)

const (
	// mostQueued is how many events may wait to be written; 2 MB of them at most.
	mostQueued = 1000
	// mostWrites is how many events are written in a second, and mostAtOnce after a pause, however
	// many owners there are: a user can make up as many as they like.
	mostWrites = 5
	mostAtOnce = 30
	// writeTime is how long an API server may take for one event.
	writeTime = 5 * time.Second
	// flushTime is how long events are written on after the end.
	flushTime = 2 * time.Second
	// silence is how long nothing more is said of events that were lost.
	silence = time.Minute
)

// recorder writes events to the API server, one after the other. It is a server.Recorder.
//
// What client-go's correlator makes of them is written: events of the same text are one that
// counts, many of different text become one, and each owner gets 25 writes at first and one in
// five minutes then. client-go's EventBroadcaster, which is the usual way to the correlator, is
// not used: it logs each event that it loses, tries each for two minutes, and drops at its end
// what waits.
type recorder struct {
	client rest.Interface // of the group without a name
	queue  chan server.Event
	lost   atomic.Int64 // since something was said of it
	log    zerolog.Logger

	// What follows is of Run alone.
	correlator *record.EventCorrelator
	failure    error // the last one
	said       time.Time
}

func newRecorder(client rest.Interface, log zerolog.Logger) *recorder {
	return &recorder{
		client: client, log: log,
		queue:      make(chan server.Event, mostQueued),
		correlator: record.NewEventCorrelatorWithOptions(record.CorrelatorOptions{}),
	}
}

// Record takes an event, or drops it where too many wait. It never waits.
func (r *recorder) Record(event server.Event) {
	select {
	case r.queue <- event:
	default:
		r.lost.Add(1)
	}
}

// Run writes events until the context ends, and what waits then for a moment more. It always
// gives nil: that events are lost is no reason to stop.
func (r *recorder) Run(ctx context.Context) error {
	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	context.AfterFunc(ctx, func() { time.AfterFunc(flushTime, stop) })
	for {
		select {
		case event := <-r.queue:
			r.write(writing, event)
			r.complain(silence)
		case <-ctx.Done():
			r.flush(writing)
			r.complain(0)
			return nil
		}
	}
}

// flush writes what waits, until the context ends.
func (r *recorder) flush(ctx context.Context) {
	for {
		select {
		case event := <-r.queue:
			r.write(ctx, event)
		default:
			return
		}
	}
}

// write writes what the correlator makes of an event. It is not tried again: if the pod is, then
// there is another event.
func (r *recorder) write(ctx context.Context, event server.Event) {
	result, err := r.correlator.EventCorrelate(newEvent(event, metav1.Now()))
	if err == nil && result.Skip {
		return
	}
	var stored *corev1.Event
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, writeTime)
		defer cancel()
		result.Event.ReportingController = programName // which that of many lacks
		stored, err = r.store(ctx, result.Event, result.Patch)
	}
	if err != nil {
		r.failure = err
		r.lost.Add(1)
		return
	}
	r.correlator.UpdateState(stored)
}

// store creates an event, or patches one that was stored before. That one may have expired.
func (r *recorder) store(ctx context.Context, event *corev1.Event, patch []byte) (*corev1.Event, error) {
	stored := new(corev1.Event)
	if event.Count > 1 {
		err := r.client.Patch(types.StrategicMergePatchType).Namespace(event.Namespace).Resource("events").Name(event.Name).Body(patch).Do(ctx).Into(stored)
		if !apierrors.IsNotFound(err) {
			return stored, err
		}
		event.ResourceVersion = ""
	}
	return stored, r.client.Post().Namespace(event.Namespace).Resource("events").Body(event).Do(ctx).Into(stored)
}

// complain logs how many events were lost, and the last reason, unless it did so just before.
func (r *recorder) complain(silence time.Duration) {
	if r.lost.Load() == 0 || time.Since(r.said) < silence {
		return
	}
	r.said = time.Now()
	r.log.Warn().AnErr("error", r.failure).Int64("lost", r.lost.Swap(0)).Msg("events could not be recorded")
	r.failure = nil
}

// newEvent is an event as client-go's recorder makes it.
func newEvent(event server.Event, now metav1.Time) *corev1.Event {
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Name:      util.GenerateEventName(event.Owner.Name, now.UnixNano()),
			Namespace: event.Namespace,
		},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: event.Owner.APIVersion, Kind: event.Owner.Kind,
			Namespace: event.Namespace, Name: event.Owner.Name, UID: types.UID(event.Owner.UID),
		},
		Type: corev1.EventTypeWarning, Reason: event.Reason, Message: event.Message,
		Source: corev1.EventSource{Component: programName}, ReportingController: programName,
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
	}
}
