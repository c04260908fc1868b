package server

// maxTrials is how many trials of one address may wait. An API server has few reviews of ConfigMaps at once.
const maxTrials = 16

// enterTrial moves the request to the lane of trials. If too many of its address wait there, the largest of
// them is cut off.
func (f *inflight) enterTrial(cost int64) error {
	l := &f.lanes.trials
	if err := f.enter(l, cost); err != nil || f.client == nil {
		return err
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	count, largest := 0, f
	for _, one := range l.waiting {
		if one.client != nil && one.client.peer == f.client.peer {
			count++
			if one.cost > largest.cost {
				largest = one
			}
		}
	}
	if count > maxTrials && !largest.cut {
		l.evict(largest)
	}
	if f.cut {
		return errOverload
	}
	return nil
}
