"""Who answers: generators behind one Protocol, and what makes and names their weights."""
