package kibana

// nodeBoard is C.
func nodeBoard() *Dashboard {
	return &Dashboard{ID: nodeID, Letter: "C", Title: "Node", view: &currentView}
}
