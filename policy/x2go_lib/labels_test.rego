package x2go.lib.labels_test

import data.x2go.lib.labels

gpu := {"labels": {"pool": "gpu", "reserved": "vision"}}

test_a_label if labels.has(gpu, "pool", "gpu")

test_another_value if not labels.has(gpu, "pool", "staff")

test_no_such_label if not labels.has(gpu, "zone", "gpu")

test_nothing_labelled if not labels.has({}, "pool", "gpu")

test_a_label_allows_its_value if labels.allows(gpu, "reserved", ["staff", "vision"])

test_a_label_allows_no_other if not labels.allows(gpu, "reserved", ["staff"])

test_a_label_allows_nobody_without_values if not labels.allows(gpu, "reserved", [])

test_without_the_label_all_are_allowed if labels.allows(gpu, "only", [])

test_without_labels_all_are_allowed if labels.allows({}, "only", [])
