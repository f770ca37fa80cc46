(** * Assumptions: the statement of each exported theorem, and the axioms behind it.

    Compiled by itself; [make] compares what it prints with statements.txt and assumptions.txt, so
    that no theorem is weakened and no axiom added unseen. *)

From Coq Require Import Reals List ZArith.
From Flocq Require Import Core.
From Errbound Require Import Statement Export.
Open Scope R_scope.
Set Printing Width 100.

Goal True. idtac "== nearest_correct". Abort.
Check nearest_correct.
Print Assumptions nearest_correct.
Goal True. idtac "== overflow_threshold". Abort.
Check overflow_threshold.
Print Assumptions overflow_threshold.
Goal True. idtac "== ulp_formula". Abort.
Check ulp_formula.
Print Assumptions ulp_formula.
Goal True. idtac "== round_odd_then_nearest". Abort.
Check round_odd_then_nearest.
Print Assumptions round_odd_then_nearest.
Goal True. idtac "== double_rounding_differs". Abort.
Check double_rounding_differs.
Print Assumptions double_rounding_differs.
Goal True. idtac "== one_operation". Abort.
Check one_operation.
Print Assumptions one_operation.
Goal True. idtac "== inflate_upward". Abort.
Check inflate_upward.
Print Assumptions inflate_upward.
Goal True. idtac "== gamma_upward". Abort.
Check gamma_upward.
Print Assumptions gamma_upward.
Goal True. idtac "== up_bound". Abort.
Check up_bound.
Print Assumptions up_bound.
Goal True. idtac "== down_bound". Abort.
Check down_bound.
Print Assumptions down_bound.
Goal True. idtac "== rounding_cell". Abort.
Check rounding_cell.
Print Assumptions rounding_cell.
Goal True. idtac "== cell_of_composition". Abort.
Check cell_of_composition.
Print Assumptions cell_of_composition.
Goal True. idtac "== unknown_rounding". Abort.
Check unknown_rounding.
Print Assumptions unknown_rounding.
Goal True. idtac "== determinacy". Abort.
Check determinacy.
Print Assumptions determinacy.
Goal True. idtac "== inward_ends". Abort.
Check inward_ends.
Print Assumptions inward_ends.
Goal True. idtac "== staircase". Abort.
Check staircase.
Print Assumptions staircase.
Goal True. idtac "== staircase_centred". Abort.
Check staircase_centred.
Print Assumptions staircase_centred.
Goal True. idtac "== staircase_two_roundings". Abort.
Check staircase_two_roundings.
Print Assumptions staircase_two_roundings.
Goal True. idtac "== staircase_general". Abort.
Check staircase_general.
Print Assumptions staircase_general.
Goal True. idtac "== slope_one_noise_fails". Abort.
Check slope_one_noise_fails.
Print Assumptions slope_one_noise_fails.
Goal True. idtac "== relu_cell". Abort.
Check relu_cell.
Print Assumptions relu_cell.
Goal True. idtac "== triangle". Abort.
Check triangle.
Print Assumptions triangle.
Goal True. idtac "== relu_any_slope". Abort.
Check relu_any_slope.
Print Assumptions relu_any_slope.
Goal True. idtac "== sums_bound". Abort.
Check sums_bound.
Print Assumptions sums_bound.
Goal True. idtac "== binade_never_worse". Abort.
Check binade_never_worse.
Print Assumptions binade_never_worse.
Goal True. idtac "== master_bound". Abort.
Check master_bound.
Print Assumptions master_bound.
Goal True. idtac "== any_rounding_master_bound". Abort.
Check any_rounding_master_bound.
Print Assumptions any_rounding_master_bound.
Goal True. idtac "== any_rounding_binade_bound". Abort.
Check any_rounding_binade_bound.
Print Assumptions any_rounding_binade_bound.
Goal True. idtac "== height_form". Abort.
Check height_form.
Print Assumptions height_form.
Goal True. idtac "== first_form". Abort.
Check first_form.
Print Assumptions first_form.
Goal True. idtac "== first_form_products". Abort.
Check first_form_products.
Print Assumptions first_form_products.
Goal True. idtac "== first_form_bound". Abort.
Check first_form_bound.
Print Assumptions first_form_bound.
Goal True. idtac "== toward_zero". Abort.
Check toward_zero.
Print Assumptions toward_zero.
Goal True. idtac "== errs_by_sound". Abort.
Check errs_by_sound.
Print Assumptions errs_by_sound.
Goal True. idtac "== accepts_sum_sound". Abort.
Check accepts_sum_sound.
Print Assumptions accepts_sum_sound.
Goal True. idtac "== midpoint_form". Abort.
Check midpoint_form.
Print Assumptions midpoint_form.
Goal True. idtac "== computed_form". Abort.
Check computed_form.
Print Assumptions computed_form.
Goal True. idtac "== merged_radius". Abort.
Check merged_radius.
Print Assumptions merged_radius.
Goal True. idtac "== moving". Abort.
Check moving.
Print Assumptions moving.
Goal True. idtac "== monotone_accepted". Abort.
Check monotone_accepted.
Print Assumptions monotone_accepted.
Goal True. idtac "== selection_accepted". Abort.
Check selection_accepted.
Print Assumptions selection_accepted.
Goal True. idtac "== negation_accepted". Abort.
Check negation_accepted.
Print Assumptions negation_accepted.
Goal True. idtac "== stored_accepted". Abort.
Check stored_accepted.
Print Assumptions stored_accepted.
Goal True. idtac "== compute_accepted". Abort.
Check compute_accepted.
Print Assumptions compute_accepted.
Goal True. idtac "== rounded_once_accepted". Abort.
Check rounded_once_accepted.
Print Assumptions rounded_once_accepted.
Goal True. idtac "== bounded_error_accepted". Abort.
Check bounded_error_accepted.
Print Assumptions bounded_error_accepted.
Goal True. idtac "== tabulated_accepted". Abort.
Check tabulated_accepted.
Print Assumptions tabulated_accepted.
Goal True. idtac "== either_accepted". Abort.
Check either_accepted.
Print Assumptions either_accepted.
Goal True. idtac "== meet_accepted". Abort.
Check meet_accepted.
Print Assumptions meet_accepted.
Goal True. idtac "== composed_accepted". Abort.
Check composed_accepted.
Print Assumptions composed_accepted.
Goal True. idtac "== sum_accepted". Abort.
Check sum_accepted.
Print Assumptions sum_accepted.
Goal True. idtac "== plus_accepted". Abort.
Check plus_accepted.
Print Assumptions plus_accepted.
Goal True. idtac "== minus_accepted". Abort.
Check minus_accepted.
Print Assumptions minus_accepted.
Goal True. idtac "== times_accepted". Abort.
Check times_accepted.
Print Assumptions times_accepted.
Goal True. idtac "== quotient_accepted". Abort.
Check quotient_accepted.
Print Assumptions quotient_accepted.
Goal True. idtac "== leaky_accepted". Abort.
Check leaky_accepted.
Print Assumptions leaky_accepted.
Goal True. idtac "== batch_norm_accepted". Abort.
Check batch_norm_accepted.
Print Assumptions batch_norm_accepted.
Goal True. idtac "== norm_widened". Abort.
Check norm_widened.
Print Assumptions norm_widened.
Goal True. idtac "== late_bias_accepted". Abort.
Check late_bias_accepted.
Print Assumptions late_bias_accepted.
Goal True. idtac "== tap_by_tap_accepted". Abort.
Check tap_by_tap_accepted.
Print Assumptions tap_by_tap_accepted.
Goal True. idtac "== window_mean". Abort.
Check window_mean.
Print Assumptions window_mean.
Goal True. idtac "== softmax_ends". Abort.
Check softmax_ends.
Print Assumptions softmax_ends.
Goal True. idtac "== enclosure_sound". Abort.
Check enclosure_sound.
Print Assumptions enclosure_sound.
Goal True. idtac "== agreement_holds". Abort.
Check agreement_holds.
Print Assumptions agreement_holds.
Goal True. idtac "== computed_accepts". Abort.
Check computed_accepts.
Print Assumptions computed_accepts.
Goal True. idtac "== known_coherent". Abort.
Check known_coherent.
Print Assumptions known_coherent.
Goal True. idtac "== sum_execution_exists". Abort.
Check sum_execution_exists.
Print Assumptions sum_execution_exists.
Goal True. idtac "== execution_exists". Abort.
Check execution_exists.
Print Assumptions execution_exists.
Goal True. idtac "== in_range_execution_exists". Abort.
Check in_range_execution_exists.
Print Assumptions in_range_execution_exists.
Goal True. idtac "== two_executions". Abort.
Check two_executions.
Print Assumptions two_executions.
Goal True. idtac "== classic_theorem". Abort.
Check classic_theorem.
Print Assumptions classic_theorem.
Goal True. idtac "== pairwise". Abort.
Check pairwise.
Print Assumptions pairwise.
Goal True. idtac "== classic_implies_pairwise". Abort.
Check classic_implies_pairwise.
Print Assumptions classic_implies_pairwise.
Goal True. idtac "== leads_exact". Abort.
Check leads_exact.
Print Assumptions leads_exact.
Goal True. idtac "== first_index". Abort.
Check first_index.
Print Assumptions first_index.
Goal True. idtac "== first_index_exact". Abort.
Check first_index_exact.
Print Assumptions first_index_exact.
Goal True. idtac "== ties_break_classic". Abort.
Check ties_break_classic.
Print Assumptions ties_break_classic.
Goal True. idtac "== softmax_tie". Abort.
Check softmax_tie.
Print Assumptions softmax_tie.
Goal True. idtac "== any_slope". Abort.
Check any_slope.
Print Assumptions any_slope.
Goal True. idtac "== relations_are_convex". Abort.
Check relations_are_convex.
Print Assumptions relations_are_convex.
Goal True. idtac "== centre_rule". Abort.
Check centre_rule.
Print Assumptions centre_rule.
Goal True. idtac "== centre_changed". Abort.
Check centre_changed.
Print Assumptions centre_changed.
Goal True. idtac "== dual_identity". Abort.
Check dual_identity.
Print Assumptions dual_identity.
Goal True. idtac "== backward_bound". Abort.
Check backward_bound.
Print Assumptions backward_bound.
Goal True. idtac "== own_rounding". Abort.
Check own_rounding.
Print Assumptions own_rounding.
Goal True. idtac "== backward_bound_computed". Abort.
Check backward_bound_computed.
Print Assumptions backward_bound_computed.
Goal True. idtac "== cancellation". Abort.
Check cancellation.
Print Assumptions cancellation.
Goal True. idtac "== regions". Abort.
Check regions.
Print Assumptions regions.
Goal True. idtac "== pairwise_from_backward". Abort.
Check pairwise_from_backward.
Print Assumptions pairwise_from_backward.
Goal True. idtac "== sum_relation". Abort.
Check sum_relation.
Print Assumptions sum_relation.
Goal True. idtac "== relu_relation". Abort.
Check relu_relation.
Print Assumptions relu_relation.
Goal True. idtac "== largest_relation". Abort.
Check largest_relation.
Print Assumptions largest_relation.
Goal True. idtac "== slope_relation". Abort.
Check slope_relation.
Print Assumptions slope_relation.
Goal True. idtac "== refined_sound". Abort.
Check refined_sound.
Print Assumptions refined_sound.
Goal True. idtac "== cascade_top". Abort.
Check cascade_top.
Print Assumptions cascade_top.
Goal True. idtac "== agreement_by_cascade". Abort.
Check agreement_by_cascade.
Print Assumptions agreement_by_cascade.
Goal True. idtac "== agreement_with_ties". Abort.
Check agreement_with_ties.
Print Assumptions agreement_with_ties.
Goal True. idtac "== flQ_correct". Abort.
Check flQ_correct.
Print Assumptions flQ_correct.
Goal True. idtac "== ufpQ_correct". Abort.
Check ufpQ_correct.
Print Assumptions ufpQ_correct.
Goal True. idtac "== sum_errorQ_correct". Abort.
Check sum_errorQ_correct.
Print Assumptions sum_errorQ_correct.
Goal True. idtac "== noiseQ_correct". Abort.
Check noiseQ_correct.
Print Assumptions noiseQ_correct.
Goal True. idtac "== first_form_covers". Abort.
Check first_form_covers.
Print Assumptions first_form_covers.
Goal True. idtac "== check_sum_sound". Abort.
Check check_sum_sound.
Print Assumptions check_sum_sound.
Goal True. idtac "== check_program_sound". Abort.
Check check_program_sound.
Print Assumptions check_program_sound.
Goal True. idtac "== certifies_sound". Abort.
Check certifies_sound.
Print Assumptions certifies_sound.
Goal True. idtac "== example_agrees". Abort.
Check example_agrees.
Print Assumptions example_agrees.
Goal True. idtac "== perturbed_disagrees". Abort.
Check perturbed_disagrees.
Print Assumptions perturbed_disagrees.
Goal True. idtac "== perturbed_refused". Abort.
Check perturbed_refused.
Print Assumptions perturbed_refused.
