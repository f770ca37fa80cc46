(** * Export: the theorems that errbound cites, under one name each.

    Records of operators ([lemma="proved: name"]) and the documents cite these names; a test of the
    Python package makes sure that each name they cite is here. [Assumptions.v] prints the axioms
    that each depends on. *)

From Errbound Require
  Rounding Innocuous Inflation Cell Sum Orders FirstForm TowardZero Contraction Shapes Kernels
  Softmax Network Margin Backward Executions Cascade Ties Rational Compute Check Example.

(** ** Numbers and roundings *)

Definition nearest_correct := @Rounding.nearest_correct.
Definition overflow_threshold := @Rounding.overflow_threshold.
Definition ulp_formula := @Rounding.ulp_formula.
Definition round_odd_then_nearest := @Rounding.round_odd_then_nearest.
Definition double_rounding_differs := @Rounding.double_rounding_differs.
Definition one_operation := @Innocuous.one_operation.
Definition inflate_upward := @Inflation.inflate_upward.
Definition gamma_upward := @Inflation.gamma_upward.
Definition up_bound := @Inflation.up_bound.
Definition down_bound := @Inflation.down_bound.

(** ** Rounding cells *)

Definition rounding_cell := @Cell.rounding_cell.
Definition cell_of_composition := @Cell.cell_of_composition.
Definition unknown_rounding := @Cell.unknown_rounding.
Definition determinacy := @Cell.determinacy.
Definition inward_ends := @Cell.inward_ends.
Definition staircase := @Cell.staircase.
Definition staircase_centred := @Cell.staircase_centred.
Definition staircase_two_roundings := @Cell.staircase_two_roundings.
Definition staircase_general := @Cell.staircase_general.
Definition slope_one_noise_fails := @Cell.slope_one_noise_fails.
Definition relu_cell := @Cell.relu_cell.
Definition triangle := @Cell.triangle.
Definition relu_any_slope := @Cell.relu_any_slope.

(** ** Sums in any order *)

Definition sums_bound := @Sum.sums_bound.
Definition binade_never_worse := @Orders.binade_never_worse.
Definition master_bound := @Orders.master_bound.
Definition any_rounding_master_bound := @Orders.any_rounding_master_bound.
Definition any_rounding_binade_bound := @Orders.any_rounding_binade_bound.
Definition height_form := @Orders.height_form.
Definition first_form := @FirstForm.first_form.
Definition first_form_products := @FirstForm.first_form_products.
Definition first_form_bound := @FirstForm.first_form_bound.
Definition toward_zero := @TowardZero.toward_zero.
Definition errs_by_sound := @Contraction.errs_by_sound.
Definition accepts_sum_sound := @Contraction.accepts_sum_sound.
Definition midpoint_form := @Contraction.midpoint_form.
Definition computed_form := @Contraction.computed_form.
Definition merged_radius := @Contraction.merged_radius.

(** ** Operators *)

Definition moving := @Shapes.moving.
Definition monotone_accepted := @Shapes.monotone_accepted.
Definition selection_accepted := @Shapes.selection_accepted.
Definition negation_accepted := @Shapes.negation_accepted.
Definition stored_accepted := @Shapes.stored_accepted.
Definition compute_accepted := @Shapes.compute_accepted.
Definition rounded_once_accepted := @Shapes.rounded_once_accepted.
Definition bounded_error_accepted := @Shapes.bounded_error_accepted.
Definition tabulated_accepted := @Shapes.tabulated_accepted.
Definition either_accepted := @Shapes.either_accepted.
Definition meet_accepted := @Shapes.meet_accepted.
Definition composed_accepted := @Shapes.composed_accepted.
Definition sum_accepted := @Shapes.sum_accepted.
Definition plus_accepted := @Kernels.plus_accepted.
Definition minus_accepted := @Kernels.minus_accepted.
Definition times_accepted := @Kernels.times_accepted.
Definition quotient_accepted := @Kernels.quotient_accepted.
Definition leaky_accepted := @Kernels.leaky_accepted.
Definition batch_norm_accepted := @Kernels.batch_norm_accepted.
Definition norm_widened := @Kernels.norm_widened.
Definition late_bias_accepted := @Kernels.late_bias_accepted.
Definition tap_by_tap_accepted := @Kernels.tap_by_tap_accepted.
Definition window_mean := @Kernels.window_mean.
Definition softmax_ends := @Softmax.softmax_ends.

(** ** Programs *)

Definition enclosure_sound := @Network.enclosure_sound.
Definition agreement_holds := @Network.agreement_holds.
Definition computed_accepts := @Network.computed_accepts.
Definition known_coherent := @Network.known_coherent.
Definition sum_execution_exists := @Network.sum_execution_exists.
Definition execution_exists := @Network.execution_exists.
Definition in_range_execution_exists := @Network.in_range_execution_exists.
Definition two_executions := @Network.two_executions.

(** ** Margins *)

Definition classic_theorem := @Margin.classic.
Definition pairwise := @Margin.pairwise.
Definition classic_implies_pairwise := @Margin.classic_implies_pairwise.
Definition leads_exact := @Margin.leads_exact.
Definition first_index := @Margin.first_index.
Definition first_index_exact := @Margin.first_index_exact.
Definition ties_break_classic := @Margin.ties_break_classic.
Definition softmax_tie := @Margin.softmax_tie.

(** ** Going backwards *)

Definition any_slope := @Backward.any_slope.
Definition relations_are_convex := @Backward.relations_are_convex.
Definition centre_rule := @Backward.centre_rule.
Definition centre_changed := @Backward.centre_changed.
Definition dual_identity := @Backward.dual_identity.
Definition backward_bound := @Backward.backward_bound.
Definition own_rounding := @Backward.own_rounding.
Definition backward_bound_computed := @Backward.backward_bound_computed.
Definition cancellation := @Backward.cancellation.
Definition regions := @Backward.regions.
Definition pairwise_from_backward := @Backward.pairwise_from_backward.
Definition sum_relation := @Executions.sum_relation.
Definition relu_relation := @Executions.relu_relation.
Definition largest_relation := @Executions.largest_relation.
Definition slope_relation := @Executions.slope_relation.
Definition refined_sound := @Cascade.refined_sound.
Definition cascade_top := @Cascade.cascade_top.
Definition agreement_by_cascade := @Cascade.agreement_by_cascade.
Definition agreement_with_ties := @Ties.agreement_with_ties.

(** ** Computation *)

Definition flQ_correct := @Rational.flQ_correct.
Definition ufpQ_correct := @Rational.ufpQ_correct.
Definition sum_errorQ_correct := @Compute.sum_errorQ_correct.
Definition noiseQ_correct := @Compute.noiseQ_correct.
Definition first_form_covers := @Compute.first_form_covers.
Definition check_sum_sound := @Check.check_sum_sound.
Definition check_program_sound := @Check.check_program_sound.
Definition certifies_sound := @Check.certifies_sound.
Definition example_agrees := @Example.example_agrees.
Definition perturbed_disagrees := @Example.perturbed_disagrees.
Definition perturbed_refused := @Example.perturbed_refused.
