package kibana

// agentsBoard is G.
func agentsBoard() *Dashboard {
	return &Dashboard{ID: agentsID, Letter: "G", Title: "Agent health", view: &currentView}
}
