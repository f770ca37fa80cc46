(** * Assumptions: the axioms behind each exported theorem.

    Compiled by itself; `make` compares what it prints with assumptions.txt. *)

From Errbound Require Import Export.

Goal True. idtac "== nearest_correct". Abort.
Print Assumptions nearest_correct.
Goal True. idtac "== overflow_threshold". Abort.
Print Assumptions overflow_threshold.
Goal True. idtac "== ulp_formula". Abort.
Print Assumptions ulp_formula.
Goal True. idtac "== round_odd_then_nearest". Abort.
Print Assumptions round_odd_then_nearest.
Goal True. idtac "== double_rounding_differs". Abort.
Print Assumptions double_rounding_differs.
Goal True. idtac "== one_operation". Abort.
Print Assumptions one_operation.
Goal True. idtac "== inflate_upward". Abort.
Print Assumptions inflate_upward.
Goal True. idtac "== gamma_upward". Abort.
Print Assumptions gamma_upward.
Goal True. idtac "== up_bound". Abort.
Print Assumptions up_bound.
Goal True. idtac "== down_bound". Abort.
Print Assumptions down_bound.
Goal True. idtac "== rounding_cell". Abort.
Print Assumptions rounding_cell.
Goal True. idtac "== cell_of_composition". Abort.
Print Assumptions cell_of_composition.
Goal True. idtac "== unknown_rounding". Abort.
Print Assumptions unknown_rounding.
Goal True. idtac "== determinacy". Abort.
Print Assumptions determinacy.
Goal True. idtac "== inward_ends". Abort.
Print Assumptions inward_ends.
Goal True. idtac "== staircase". Abort.
Print Assumptions staircase.
Goal True. idtac "== staircase_centred". Abort.
Print Assumptions staircase_centred.
Goal True. idtac "== staircase_two_roundings". Abort.
Print Assumptions staircase_two_roundings.
Goal True. idtac "== staircase_general". Abort.
Print Assumptions staircase_general.
Goal True. idtac "== slope_one_noise_fails". Abort.
Print Assumptions slope_one_noise_fails.
Goal True. idtac "== relu_cell". Abort.
Print Assumptions relu_cell.
Goal True. idtac "== triangle". Abort.
Print Assumptions triangle.
Goal True. idtac "== relu_any_slope". Abort.
Print Assumptions relu_any_slope.
Goal True. idtac "== sums_bound". Abort.
Print Assumptions sums_bound.
Goal True. idtac "== binade_never_worse". Abort.
Print Assumptions binade_never_worse.
Goal True. idtac "== master_bound". Abort.
Print Assumptions master_bound.
Goal True. idtac "== any_rounding_master_bound". Abort.
Print Assumptions any_rounding_master_bound.
Goal True. idtac "== any_rounding_binade_bound". Abort.
Print Assumptions any_rounding_binade_bound.
Goal True. idtac "== height_form". Abort.
Print Assumptions height_form.
Goal True. idtac "== first_form". Abort.
Print Assumptions first_form.
Goal True. idtac "== first_form_products". Abort.
Print Assumptions first_form_products.
Goal True. idtac "== accepts_sum_sound". Abort.
Print Assumptions accepts_sum_sound.
Goal True. idtac "== midpoint_form". Abort.
Print Assumptions midpoint_form.
Goal True. idtac "== computed_form". Abort.
Print Assumptions computed_form.
Goal True. idtac "== merged_radius". Abort.
Print Assumptions merged_radius.
Goal True. idtac "== moving". Abort.
Print Assumptions moving.
Goal True. idtac "== monotone_accepted". Abort.
Print Assumptions monotone_accepted.
Goal True. idtac "== selection_accepted". Abort.
Print Assumptions selection_accepted.
Goal True. idtac "== negation_accepted". Abort.
Print Assumptions negation_accepted.
Goal True. idtac "== stored_accepted". Abort.
Print Assumptions stored_accepted.
Goal True. idtac "== compute_accepted". Abort.
Print Assumptions compute_accepted.
Goal True. idtac "== rounded_once_accepted". Abort.
Print Assumptions rounded_once_accepted.
Goal True. idtac "== bounded_error_accepted". Abort.
Print Assumptions bounded_error_accepted.
Goal True. idtac "== tabulated_accepted". Abort.
Print Assumptions tabulated_accepted.
Goal True. idtac "== either_accepted". Abort.
Print Assumptions either_accepted.
Goal True. idtac "== meet_accepted". Abort.
Print Assumptions meet_accepted.
Goal True. idtac "== composed_accepted". Abort.
Print Assumptions composed_accepted.
Goal True. idtac "== sum_accepted". Abort.
Print Assumptions sum_accepted.
Goal True. idtac "== plus_accepted". Abort.
Print Assumptions plus_accepted.
Goal True. idtac "== minus_accepted". Abort.
Print Assumptions minus_accepted.
Goal True. idtac "== times_accepted". Abort.
Print Assumptions times_accepted.
Goal True. idtac "== quotient_accepted". Abort.
Print Assumptions quotient_accepted.
Goal True. idtac "== leaky_accepted". Abort.
Print Assumptions leaky_accepted.
Goal True. idtac "== batch_norm_accepted". Abort.
Print Assumptions batch_norm_accepted.
Goal True. idtac "== norm_widened". Abort.
Print Assumptions norm_widened.
Goal True. idtac "== late_bias_accepted". Abort.
Print Assumptions late_bias_accepted.
Goal True. idtac "== tap_by_tap_accepted". Abort.
Print Assumptions tap_by_tap_accepted.
Goal True. idtac "== window_mean". Abort.
Print Assumptions window_mean.
Goal True. idtac "== softmax_ends". Abort.
Print Assumptions softmax_ends.
Goal True. idtac "== enclosure_sound". Abort.
Print Assumptions enclosure_sound.
Goal True. idtac "== agreement_holds". Abort.
Print Assumptions agreement_holds.
Goal True. idtac "== computed_accepts". Abort.
Print Assumptions computed_accepts.
Goal True. idtac "== known_coherent". Abort.
Print Assumptions known_coherent.
Goal True. idtac "== sum_execution_exists". Abort.
Print Assumptions sum_execution_exists.
Goal True. idtac "== execution_exists". Abort.
Print Assumptions execution_exists.
Goal True. idtac "== in_range_execution_exists". Abort.
Print Assumptions in_range_execution_exists.
Goal True. idtac "== two_executions". Abort.
Print Assumptions two_executions.
Goal True. idtac "== classic_theorem". Abort.
Print Assumptions classic_theorem.
Goal True. idtac "== pairwise". Abort.
Print Assumptions pairwise.
Goal True. idtac "== classic_implies_pairwise". Abort.
Print Assumptions classic_implies_pairwise.
Goal True. idtac "== leads_exact". Abort.
Print Assumptions leads_exact.
Goal True. idtac "== first_index". Abort.
Print Assumptions first_index.
Goal True. idtac "== first_index_exact". Abort.
Print Assumptions first_index_exact.
Goal True. idtac "== ties_break_classic". Abort.
Print Assumptions ties_break_classic.
Goal True. idtac "== softmax_tie". Abort.
Print Assumptions softmax_tie.
Goal True. idtac "== any_slope". Abort.
Print Assumptions any_slope.
Goal True. idtac "== relations_are_convex". Abort.
Print Assumptions relations_are_convex.
Goal True. idtac "== centre_rule". Abort.
Print Assumptions centre_rule.
Goal True. idtac "== centre_changed". Abort.
Print Assumptions centre_changed.
Goal True. idtac "== dual_identity". Abort.
Print Assumptions dual_identity.
Goal True. idtac "== backward_bound". Abort.
Print Assumptions backward_bound.
Goal True. idtac "== own_rounding". Abort.
Print Assumptions own_rounding.
Goal True. idtac "== backward_bound_computed". Abort.
Print Assumptions backward_bound_computed.
Goal True. idtac "== cancellation". Abort.
Print Assumptions cancellation.
Goal True. idtac "== regions". Abort.
Print Assumptions regions.
Goal True. idtac "== pairwise_from_backward". Abort.
Print Assumptions pairwise_from_backward.
Goal True. idtac "== sum_relation". Abort.
Print Assumptions sum_relation.
Goal True. idtac "== relu_relation". Abort.
Print Assumptions relu_relation.
Goal True. idtac "== largest_relation". Abort.
Print Assumptions largest_relation.
Goal True. idtac "== slope_relation". Abort.
Print Assumptions slope_relation.
Goal True. idtac "== refined_sound". Abort.
Print Assumptions refined_sound.
Goal True. idtac "== cascade_top". Abort.
Print Assumptions cascade_top.
Goal True. idtac "== agreement_by_cascade". Abort.
Print Assumptions agreement_by_cascade.
Goal True. idtac "== flQ_correct". Abort.
Print Assumptions flQ_correct.
Goal True. idtac "== ufpQ_correct". Abort.
Print Assumptions ufpQ_correct.
Goal True. idtac "== sum_errorQ_correct". Abort.
Print Assumptions sum_errorQ_correct.
Goal True. idtac "== noiseQ_correct". Abort.
Print Assumptions noiseQ_correct.
Goal True. idtac "== check_sum_sound". Abort.
Print Assumptions check_sum_sound.
Goal True. idtac "== check_program_sound". Abort.
Print Assumptions check_program_sound.
Goal True. idtac "== certifies_sound". Abort.
Print Assumptions certifies_sound.
Goal True. idtac "== example_agrees". Abort.
Print Assumptions example_agrees.
Goal True. idtac "== perturbed_refused". Abort.
Print Assumptions perturbed_refused.
