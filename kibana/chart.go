package kibana

// Chart is what a panel shows.
type Chart interface {
	// kind is the name of Lens' visualization.
	kind() string
	// layers are the questions that it shows the answers to.
	layers() []*Layer
	// state is the visualization as Lens stores it, of layers that have their ids.
	state() object
}

// palette returns how a number is coloured by its limits. Of each colour Lens keeps where
// it begins and, once more, where it ends; the last one goes on beyond its end.
func (l Limits) palette() object {
	const good, bad, worse = "#209280", "#d6bf57", "#cc5642"
	return object{
		"type": "palette", "name": "custom",
		"params": object{
			"name": "custom", "reverse": false, "continuity": "above",
			"rangeType": "number", "rangeMin": 0, "rangeMax": nil, "steps": 3,
			"progression": "fixed", "maxSteps": 5,
			"colorStops": []object{
				{"color": good, "stop": 0}, {"color": bad, "stop": l.Warning}, {"color": worse, "stop": l.Alarm},
			},
			"stops": []object{
				{"color": good, "stop": l.Warning}, {"color": bad, "stop": l.Alarm}, {"color": worse, "stop": 2 * l.Alarm},
			},
		},
	}
}
