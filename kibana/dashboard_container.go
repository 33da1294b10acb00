package kibana

// containerBoard is D.
func containerBoard() *Dashboard {
	return &Dashboard{ID: containerID, Letter: "D", Title: "Container", view: &currentView}
}
