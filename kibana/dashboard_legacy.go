package kibana

// legacyBoard is H.
func legacyBoard() *Dashboard {
	return &Dashboard{ID: legacyID, Letter: "H", Title: "cAdvisor's fields", view: &legacyView}
}
