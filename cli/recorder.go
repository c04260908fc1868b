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
	// maxQueuedEvents bounds the queue, to about 2 MB.
	maxQueuedEvents = 1000
	// eventQPS and eventBurst limit the writes. Users can create any number of owners, so a limit per owner, which the
	// correlator has, is not enough.
	eventQPS   = 5
	eventBurst = 30
	// eventWriteTimeout limits one write.
	eventWriteTimeout = 5 * time.Second
	// eventFlushTimeout limits the writes after the end of the context.
	eventFlushTimeout = 2 * time.Second
	// lostEventsLogInterval is the minimum interval between logs about lost events.
	lostEventsLogInterval = time.Minute
)

// recorder implements server.Recorder. It writes events to the API server, one at a time.
//
// It uses the correlator of client-go: equal events increment a count, many similar events become one, and each owner
// gets 25 writes and then one in five minutes. It does not use the EventBroadcaster of client-go, which logs each lost
// event, retries each for two minutes, and drops queued events at the end.
type recorder struct {
	client rest.Interface // of the core group
	queue  chan server.Event
	lost   atomic.Int64 // since lastLogged
	log    zerolog.Logger

	// Only Run uses these fields.
	correlator *record.EventCorrelator
	lastErr    error
	lastLogged time.Time
}

func newRecorder(client rest.Interface, log zerolog.Logger) *recorder {
	return &recorder{
		client: client, log: log,
		queue:      make(chan server.Event, maxQueuedEvents),
		correlator: record.NewEventCorrelatorWithOptions(record.CorrelatorOptions{}),
	}
}

// Record enqueues an event, or drops it if the queue is full. It never blocks.
func (r *recorder) Record(event server.Event) {
	select {
	case r.queue <- event:
	default:
		r.lost.Add(1)
	}
}

// Run writes events until ctx ends. It then writes the queued events, for eventFlushTimeout at most. It always returns
// nil: a lost event is no reason to stop.
func (r *recorder) Run(ctx context.Context) error {
	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	context.AfterFunc(ctx, func() { time.AfterFunc(eventFlushTimeout, stop) })
	for {
		select {
		case event := <-r.queue:
			r.write(writing, event)
			r.logLost(lostEventsLogInterval)
		case <-ctx.Done():
			for len(r.queue) > 0 {
				r.write(writing, <-r.queue) // after eventFlushTimeout, each write fails at once
			}
			r.logLost(0)
			return nil
		}
	}
}

// write writes an event, unless the correlator skips it. It does not retry: if the pod is created again, there is
// another event.
func (r *recorder) write(ctx context.Context, event server.Event) {
	var stored *corev1.Event
	result, err := r.correlator.EventCorrelate(newEvent(event, metav1.Now()))
	if err == nil && !result.Skip {
		stored, err = r.store(ctx, result.Event, result.Patch)
	}
	switch {
	case err != nil:
		r.lastErr = err
		r.lost.Add(1)
	case stored != nil:
		r.correlator.UpdateState(stored)
	}
}

// store creates an event, or patches it if it was created before and has not expired.
func (r *recorder) store(ctx context.Context, event *corev1.Event, patch []byte) (*corev1.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, eventWriteTimeout)
	defer cancel()
	stored := new(corev1.Event)
	event.ReportingController = programName // the correlator does not copy it
	if event.Count > 1 {
		err := r.client.Patch(types.StrategicMergePatchType).
			Namespace(event.Namespace).Resource("events").Name(event.Name).Body(patch).Do(ctx).Into(stored)
		if !apierrors.IsNotFound(err) {
			return stored, err
		}
		event.ResourceVersion = ""
	}
	return stored, r.client.Post().Namespace(event.Namespace).Resource("events").Body(event).Do(ctx).Into(stored)
}

// logLost logs the number of lost events and the last error, unless it did so within the interval.
func (r *recorder) logLost(interval time.Duration) {
	if r.lost.Load() == 0 || time.Since(r.lastLogged) < interval {
		return
	}
	r.lastLogged = time.Now()
	r.log.Warn().AnErr("error", r.lastErr).Int64("lost", r.lost.Swap(0)).Msg("events could not be recorded")
	r.lastErr = nil
}

// newEvent returns an event with the fields that client-go's recorder sets.
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
