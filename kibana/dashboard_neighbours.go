package kibana

// neighboursBoard is E.
func neighboursBoard() *Dashboard {
	return &Dashboard{ID: neighboursID, Letter: "E", Title: "Noisy neighbours", view: &currentView}
}
