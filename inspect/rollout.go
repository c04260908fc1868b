package inspect

import (
	"context"
	"fmt"
	"maps"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Rollout is what prevents a restart of a workload from replacing its pods. It is empty if nothing does.
type Rollout string

// The values of Rollout.
const (
	// Paused means that spec.paused of a Deployment is set, so that kubectl refuses the restart.
	Paused Rollout = "paused"
	// OnDelete means that the update strategy of a StatefulSet or DaemonSet replaces only pods that are deleted.
	OnDelete Rollout = "OnDelete"
)

// readRollouts sets Rollout of the rows that need a restart.
func (r *reporter) readRollouts(ctx context.Context, rows []Row) error {
	for _, kind := range []struct {
		name   string
		source resource
	}{{"Deployment", deployments()}, {"StatefulSet", statefulSets()}, {"DaemonSet", daemonSets()}} {
		workloads := make(map[named][]*Row)
		for i := range rows {
			if row := &rows[i]; row.NeedsRestart() && row.APIVersion == "apps/v1" && row.Kind == kind.name {
				at := named{row.Namespace, row.Workload}
				workloads[at] = append(workloads[at], row)
			}
		}
		err := r.listIn(ctx, kind.source, maps.Keys(workloads), func(object jsontext.Value) error {
			at, rollout, err := parseRollout(object)
			for _, row := range workloads[at] {
				row.Rollout = rollout
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func parseRollout(object jsontext.Value) (named, Rollout, error) {
	var workload struct {
		Metadata podMetadata `json:"metadata"`
		Spec     struct {
			Paused         bool `json:"paused"`
			UpdateStrategy struct {
				Type string `json:"type"`
			} `json:"updateStrategy"`
		} `json:"spec"`
	}
	if err := jsonv2.Unmarshal(object, &workload); err != nil {
		return named{}, "", fmt.Errorf("cannot decode a workload: %w", err)
	}
	at := named{workload.Metadata.Namespace, workload.Metadata.Name}
	switch {
	case workload.Spec.Paused:
		return at, Paused, nil
	case workload.Spec.UpdateStrategy.Type == string(OnDelete):
		return at, OnDelete, nil
	}
	return at, "", nil
}
