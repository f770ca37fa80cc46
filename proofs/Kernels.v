(** * Kernels: the records of errbound that do arithmetic, each from the tests of [Shapes.v].

    1. One operation +, -, *, / per element, rounded on store: the image of a box lies between the
       extremes of the operation at its corners.
    2. Batch norm as torch executes it, fused or not: monotone in x, with the sign of alpha; the
       ends widened by the error of the product contain both variants ([norm_widened]).
    3. Contractions whose bias may be added after the sum was stored; sums of windows, divided in
       one of several ways; transposed convolutions that store one sum for each tap.

    Depends on: [Shapes] (tests of ends, sums), [Format] (the error of one rounding). *)

From Coq Require Import Reals List Lra.
From Flocq Require Import Core.
From Errbound Require Import Statement Format Shapes.
Import ListNotations.
Open Scope R_scope.

(** ** 1. One operation per element *)

(** An operand p is an entry of what the kernel reads or a constant of the program; its values
    lie in X. *)
Definition operand (Xs : list interval) (p : list R -> R) (X : interval) : Prop :=
  forall xs, Forall2 inside xs Xs -> inside (p xs) X.

(** An entry lies in its own interval. *)
Lemma entry_operand Xs k : operand Xs (fun xs => at_index xs k) (box_at Xs k).
Proof.
  intros xs H; revert k; unfold at_index, box_at.
  induction H as [|x X xs Xs Hx _ IH]; intros [|k]; simpl; auto; unfold inside; simpl; lra.
Qed.

(** A constant is a point. *)
Lemma constant_operand Xs c : operand Xs (fun _ => c) (c, c).
Proof. intros xs _; unfold inside; simpl; lra. Qed.

Definition applied (op : R -> R -> R) (p q : list R -> R) : kernel :=
  exactly (fun xs => op (p xs) (q xs)).

(** An operation whose values on the box X x Y lie in I. *)
Lemma operation_accepted A Ms Xs op p q X Y I B :
  coherent A -> Forall well_formed Ms -> operand Xs p X -> operand Xs q Y ->
  (forall x y, inside x X -> inside y Y -> inside (op x y) I) ->
  keeps A Ms (fst I) (snd I) B -> accepts_on A Xs (then_stored A Ms (applied op p q)) B.
Proof.
  intros HA HM Hp Hq Hop; apply stored_accepted; auto; intros xs v Hin _ ->.
  exists (op (p xs) (q xs)); split; auto; apply Hop; auto.
Qed.

(** add: the sums of the ends. *)
Theorem plus_accepted A Ms Xs p q X Y B :
  coherent A -> Forall well_formed Ms -> operand Xs p X -> operand Xs q Y ->
  keeps A Ms (fst X + fst Y) (snd X + snd Y) B ->
  accepts_on A Xs (then_stored A Ms (applied Rplus p q)) B.
Proof.
  intros HA HM Hp Hq.
  apply (operation_accepted A Ms Xs _ p q X Y (fst X + fst Y, snd X + snd Y)); auto.
  unfold inside; simpl; intros; lra.
Qed.

(** sub and rsub: a lower end minus an upper end. *)
Theorem minus_accepted A Ms Xs p q X Y B :
  coherent A -> Forall well_formed Ms -> operand Xs p X -> operand Xs q Y ->
  keeps A Ms (fst X - snd Y) (snd X - fst Y) B ->
  accepts_on A Xs (then_stored A Ms (applied Rminus p q)) B.
Proof.
  intros HA HM Hp Hq.
  apply (operation_accepted A Ms Xs _ p q X Y (fst X - snd Y, snd X - fst Y)); auto.
  unfold inside; simpl; intros; lra.
Qed.

(** The extremes of an operation at the corners of a box ([_extremes]). *)
Definition corners (op : R -> R -> R) (X Y : interval) : interval :=
  (Rmin (Rmin (op (fst X) (fst Y)) (op (fst X) (snd Y)))
        (Rmin (op (snd X) (fst Y)) (op (snd X) (snd Y))),
   Rmax (Rmax (op (fst X) (fst Y)) (op (fst X) (snd Y)))
        (Rmax (op (snd X) (fst Y)) (op (snd X) (snd Y)))).

Definition between (u v w : R) : Prop := Rmin u w <= v <= Rmax u w.

(** A function of each operand that is monotone, up or down, is extreme at the corners: first
    across x, then along the two sides. *)
Lemma at_corners op X Y x y :
  between (op (fst X) y) (op x y) (op (snd X) y) ->
  between (op (fst X) (fst Y)) (op (fst X) y) (op (fst X) (snd Y)) ->
  between (op (snd X) (fst Y)) (op (snd X) y) (op (snd X) (snd Y)) ->
  inside (op x y) (corners op X Y).
Proof.
  unfold between, inside, corners; simpl; intros [Hl Hh] [Hl1 Hh1] [Hl2 Hh2]; split.
  - apply Rle_trans with (2 := Hl), Rmin_glb;
      [apply Rle_trans with (2 := Hl1), Rmin_l | apply Rle_trans with (2 := Hl2), Rmin_r].
  - apply Rle_trans with (1 := Hh), Rmax_lub;
      [apply Rle_trans with (1 := Hh1), Rmax_l | apply Rle_trans with (1 := Hh2), Rmax_r].
Qed.

(** Scaling by k keeps the order or turns it round. *)
Lemma between_scaled k u v w : u <= v <= w -> between (k * u) (k * v) (k * w).
Proof.
  intros [? ?]; unfold between.
  destruct (Rle_or_lt 0 k);
    [rewrite Rmin_left, Rmax_right by nra | rewrite Rmin_right, Rmax_left by nra]; nra.
Qed.

(** The two ends may be named in either order. *)
Lemma between_sym u v w : between u v w -> between w v u.
Proof. unfold between; rewrite Rmin_comm, Rmax_comm; auto. Qed.

(** x y is linear in each factor. *)
Lemma product_corners x y X Y : inside x X -> inside y Y -> inside (x * y) (corners Rmult X Y).
Proof.
  intros Hx Hy; apply at_corners; auto using between_scaled.
  rewrite !(Rmult_comm _ y); apply between_scaled, Hx.
Qed.

(** Where Y does not contain 0, 1/y falls on it, and x / y is monotone in each operand. *)
Lemma quotient_corners x y X Y :
  0 < fst Y \/ snd Y < 0 -> inside x X -> inside y Y -> inside (x / y) (corners Rdiv X Y).
Proof.
  intros H0 Hx [Hl Hh].
  assert (Hinv : / snd Y <= / y <= / fst Y).
  { destruct H0; [split; apply Rinv_le_contravar; lra |].
    assert (below0 : forall s t, s <= t -> t < 0 -> / t <= / s).
    { intros s t Hst Ht; apply Ropp_le_cancel; rewrite <- !Rinv_opp.
      apply Rinv_le_contravar; lra. }
    split; apply below0; lra. }
  apply at_corners; unfold Rdiv.
  - rewrite !(Rmult_comm _ (/ y)); apply between_scaled, Hx.
  - apply between_sym, between_scaled, Hinv.
  - apply between_sym, between_scaled, Hinv.
Qed.

(** mul: of two activations, or by a constant. *)
Theorem times_accepted A Ms Xs p q X Y B :
  coherent A -> Forall well_formed Ms -> operand Xs p X -> operand Xs q Y ->
  keeps A Ms (fst (corners Rmult X Y)) (snd (corners Rmult X Y)) B ->
  accepts_on A Xs (then_stored A Ms (applied Rmult p q)) B.
Proof.
  intros HA HM Hp Hq; apply (operation_accepted A Ms Xs _ p q X Y); auto.
  intros x y; apply product_corners.
Qed.

(** div and reciprocal, where the divisor's interval does not contain 0. *)
Theorem quotient_accepted A Ms Xs p q X Y B :
  coherent A -> Forall well_formed Ms -> operand Xs p X -> operand Xs q Y ->
  0 < fst Y \/ snd Y < 0 ->
  keeps A Ms (fst (corners Rdiv X Y)) (snd (corners Rdiv X Y)) B ->
  accepts_on A Xs (then_stored A Ms (applied Rdiv p q)) B.
Proof.
  intros HA HM Hp Hq H0; apply (operation_accepted A Ms Xs _ p q X Y); auto.
  intros x y; apply quotient_corners, H0.
Qed.

(** Rounding leaves a number of every format on the way alone. *)
Lemma through_exact Fs x y :
  Forall (fun F => well_formed F /\ number F x) Fs -> through Fs x = Some y -> y = x.
Proof.
  induction 1 as [|F Fs [HF Hx] _ IH]; simpl; [congruence |].
  destruct (rounded F x) as [z|] eqn:Ez; [|discriminate].
  destruct (rounded_inv _ _ _ Ez) as [-> _]; rewrite fl_id by assumption; exact IH.
Qed.

(** leaky_relu with slope k: x itself where x > 0, else the product, rounded. *)
Definition slope (k x : R) : R := if Rle_bool x 0 then x * k else x.

Definition leaky (A : arithmetic) (Ms : list format) (k : R) : kernel := fun xs o =>
  o = if Rle_bool (moved xs) 0 then store A Ms (moved xs * k) else Some (moved xs).

(** For k >= 0 it is nondecreasing, and to round x > 0 as well would change nothing. *)
Theorem leaky_accepted A Ms X k B :
  coherent A -> Forall well_formed Ms ->
  (forall M x, In M Ms -> number (storage A) x -> number M x) -> 0 <= k ->
  keeps A Ms (slope k (fst X)) (slope k (snd X)) B -> accepts_on A [X] (leaky A Ms k) B.
Proof.
  intros HA HM Hsub Hk HB xs o Hin Hnum ->.
  inversion Hin as [|x ? ? ? [Hl Hh] Hnil]; subst; inversion Hnil; inversion Hnum; subst.
  unfold moved, at_index; simpl.
  assert (up : forall s t, s <= t -> slope k s <= slope k t).
  { intros s t; unfold slope; case Rle_bool_spec; case Rle_bool_spec; nra. }
  destruct (store_kept A Ms _ (slope k x) _ B HA HM (conj (up _ _ Hl) (up _ _ Hh)) HB)
    as (y & Hy & HyB & Hyn).
  unfold slope in Hy; destruct (Rle_bool x 0); [exists y; auto |].
  apply through_exact in Hy; [subst; exists x; auto |].
  rewrite Forall_forall in *; intros F HF; apply in_app_iff in HF as [HF | [<- | []]]; auto.
  split; [apply HA | assumption].
Qed.

(** ** 2. Batch norm *)

(** Folded beforehand in the intermediate format M: the scale w / sqrt (v + eps), one rounding
    after each operation, and the shift b - mean * alpha, fused or not. *)
Definition scale_of (M : format) (w v eps : R) : option R :=
  bind (rounded M eps) (fun e =>
  bind (rounded M (v + e)) (fun s =>
  bind (rounded M (sqrt s)) (fun r =>
  if Rle_bool r 0 then None else
  bind (rounded M (1 / r)) (fun i => rounded M (i * w))))).

Inductive shift_of (M : format) (b mean alpha : R) : option R -> Prop :=
| shift_fused : shift_of M b mean alpha (rounded M (b - mean * alpha))
| shift_separate :
    shift_of M b mean alpha (bind (rounded M (mean * alpha)) (fun p => rounded M (b - p))).

(** x alpha + beta before the last roundings, fused or with a rounded product. *)
Inductive affine (M : format) (alpha beta x : R) : option R -> Prop :=
| affine_fused : affine M alpha beta x (Some (x * alpha + beta))
| affine_separate :
    affine M alpha beta x (bind (rounded M (x * alpha)) (fun p => Some (p + beta))).

Definition batch_norm (A : arithmetic) (M : format) (w v eps b mean : R) : kernel :=
  then_stored A [M] (fun xs o =>
    match scale_of M w v eps with
    | None => o = None
    | Some alpha => exists s, shift_of M b mean alpha s /\
        match s with None => o = None | Some beta => affine M alpha beta (moved xs) o end
    end).

(** What lies between two values that are stored in B, in either order, is stored in B. *)
Lemma kept_between A Ms u v w B :
  coherent A -> Forall well_formed Ms -> between u v w ->
  (exists y, store A Ms u = Some y /\ inside y B) ->
  (exists y, store A Ms w = Some y /\ inside y B) ->
  exists y, store A Ms v = Some y /\ inside y B /\ number (storage A) y.
Proof.
  intros HA HM [Hl Hh] (y & Hy & ? & ?) (z & Hz & ? & ?).
  destruct (Rle_or_lt u w).
  - rewrite Rmin_left in Hl by lra; rewrite Rmax_right in Hh by lra.
    apply (store_kept A Ms u v w); auto; exists y, z; auto.
  - rewrite Rmin_right in Hl by lra; rewrite Rmax_left in Hh by lra.
    apply (store_kept A Ms w v u); auto; exists z, y; auto.
Qed.

(** One rounding keeps the order of values between two that stay in range. *)
Lemma rounded_kept F u v w y z :
  well_formed F -> between u v w -> rounded F u = Some y -> rounded F w = Some z ->
  exists t, rounded F v = Some t /\ between y t z.
Proof.
  intros HF [Hl Hh] Hy Hz; destruct (Rle_or_lt u w).
  - rewrite Rmin_left in Hl by lra; rewrite Rmax_right in Hh by lra.
    destruct (rounded_between F u w v y z) as (t & ? & ? & _); auto; exists t; split; auto.
    unfold between; rewrite Rmin_left, Rmax_right by lra; assumption.
  - rewrite Rmin_right in Hl by lra; rewrite Rmax_left in Hh by lra.
    destruct (rounded_between F w u v z y) as (t & ? & ? & _); auto; exists t; split; auto.
    unfold between; rewrite Rmin_right, Rmax_left by lra; assumption.
Qed.

(** Adding a constant keeps the order. *)
Lemma between_shifted c u v w : between u v w -> between (u + c) (v + c) (w + c).
Proof. unfold between, Rmin, Rmax; destruct (Rle_dec u w), (Rle_dec (u + c) (w + c)); lra. Qed.

(** batch_norm: if every execution at both ends of the input stays in B, so does every execution
    in between. Each variant is monotone in x: the product rises or falls with the sign of alpha,
    all else rises. *)
Theorem batch_norm_accepted A M X w v eps b mean B :
  coherent A -> well_formed M ->
  (forall o, batch_norm A M w v eps b mean [fst X] o -> exists y, o = Some y /\ inside y B) ->
  (forall o, batch_norm A M w v eps b mean [snd X] o -> exists y, o = Some y /\ inside y B) ->
  accepts_on A [X] (batch_norm A M w v eps b mean) B.
Proof.
  intros HA HM low high xs o Hin _ (r & HK & ->).
  assert (HMs : Forall well_formed [M]) by auto.
  unfold batch_norm, then_stored in low, high.
  destruct (scale_of M w v eps) as [alpha|].
  2: { destruct (low None) as (y & Hy & _); [exists None; auto | discriminate Hy]. }
  destruct HK as ([beta|] & Hs & HK).
  2: { destruct (low None) as (y & Hy & _); [|discriminate Hy].
       exists None; split; auto; exists None; auto. }
  set (x := moved xs) in *.
  assert (Hx : between (fst X * alpha) (x * alpha) (snd X * alpha)).
  { rewrite !(Rmult_comm _ alpha); apply between_scaled.
    inversion Hin; subst; assumption. }
  assert (low' : forall q, affine M alpha beta (fst X) q ->
            exists y, bind q (store A [M]) = Some y /\ inside y B).
  { intros q Hq; apply low; exists q; split; auto; exists (Some beta); auto. }
  assert (high' : forall q, affine M alpha beta (snd X) q ->
            exists y, bind q (store A [M]) = Some y /\ inside y B).
  { intros q Hq; apply high; exists q; split; auto; exists (Some beta); auto. }
  destruct HK; simpl.
  - apply (kept_between A [M] (fst X * alpha + beta) _ (snd X * alpha + beta)); auto.
    + apply between_shifted, Hx.
    + apply (low' _ (affine_fused _ _ _ _)).
    + apply (high' _ (affine_fused _ _ _ _)).
  - destruct (low' _ (affine_separate _ _ _ _)) as (y & Hy & HyB).
    destruct (high' _ (affine_separate _ _ _ _)) as (z & Hz & HzB).
    destruct (rounded M (fst X * alpha)) as [p|] eqn:Ep; [|discriminate Hy].
    destruct (rounded M (snd X * alpha)) as [q|] eqn:Eq; [|discriminate Hz].
    destruct (rounded_kept M _ _ _ p q HM Hx Ep Eq) as (t & -> & Ht); simpl.
    apply (kept_between A [M] (p + beta) _ (q + beta)); eauto.
    apply between_shifted, Ht.
Qed.

(** The real ends that errbound computes: x alpha + beta, widened by the rounding of the largest
    product, contain both variants before the last roundings. *)
Lemma affine_widened M X x alpha beta v :
  well_formed M -> inside x X ->
  let P := Rmax (Rabs (fst X * alpha)) (Rabs (snd X * alpha)) in
  let error := unit_roundoff M * P + eta M in
  P <= Omega M -> affine M alpha beta x v ->
  exists y, v = Some y /\
    Rmin (fst X * alpha) (snd X * alpha) + beta - error <= y <=
      Rmax (fst X * alpha) (snd X * alpha) + beta + error.
Proof.
  intros HM Hx P error HP HK.
  assert (Hb : between (fst X * alpha) (x * alpha) (snd X * alpha)).
  { rewrite !(Rmult_comm _ alpha); apply between_scaled, Hx. }
  assert (Hxa : Rabs (x * alpha) <= P).
  { unfold P; revert Hb; unfold between, Rmin, Rmax, Rabs.
    destruct (Rle_dec (fst X * alpha) (snd X * alpha)), (Rcase_abs (x * alpha)),
      (Rcase_abs (fst X * alpha)), (Rcase_abs (snd X * alpha)); destruct Rle_dec; lra. }
  assert (Hu : 0 < unit_roundoff M) by apply bpow_gt_0.
  assert (He : 0 < eta M) by apply bpow_gt_0.
  pose proof (Rabs_pos (x * alpha)).
  assert (Herr : Rabs (fl M (x * alpha) - x * alpha) <= error).
  { apply Rle_trans with (1 := fl_error M (x * alpha) HM); unfold error.
    pose proof (ufp_le (x * alpha)); nra. }
  assert (0 <= error) by (unfold error; nra).
  unfold between in Hb; destruct HK; [eexists; split; [reflexivity | lra] |].
  rewrite rounded_some by (auto; lra); simpl; eexists; split; [reflexivity |].
  apply Rabs_le_inv in Herr; lra.
Qed.

(** batch_norm, as errbound tests it: every shift lies in [c, d], no product is out of range, and
    the widened ends pass. *)
Theorem norm_widened A M X w v eps b mean alpha c d B :
  coherent A -> well_formed M ->
  scale_of M w v eps = Some alpha ->
  (forall s, shift_of M b mean alpha s -> exists beta, s = Some beta /\ c <= beta <= d) ->
  (let P := Rmax (Rabs (fst X * alpha)) (Rabs (snd X * alpha)) in
   let error := unit_roundoff M * P + eta M in
   P <= Omega M /\
   keeps A [M] (Rmin (fst X * alpha) (snd X * alpha) + c - error)
     (Rmax (fst X * alpha) (snd X * alpha) + d + error) B) ->
  accepts_on A [X] (batch_norm A M w v eps b mean) B.
Proof.
  intros HA HM Halpha Hshift [HP Hkeeps]; revert Hkeeps; apply stored_accepted; auto.
  intros xs o Hin _; rewrite Halpha; intros (s & Hs & HK).
  destruct (Hshift s Hs) as (beta & -> & Hbeta).
  inversion Hin as [|x ? ? ? Hx _]; subst.
  destruct (affine_widened M X _ alpha beta o HM Hx HP HK) as (y & -> & Hy).
  exists y; split; auto; lra.
Qed.

(** ** 3. Contractions with late biases, windows, taps *)

(** A bias b added to a stored result, with roundings of its own. *)
Definition biased (A : arithmetic) (Ms : list format) (b : R) (K : kernel) : kernel :=
  then_stored A Ms (fun xs v => exists s, K xs s /\ v = bind s (fun y => Some (y + b))).

(** The ends of the stored result, shifted and stored again. *)
Lemma biased_accepted A Ms Xs b K B C :
  coherent A -> Forall well_formed Ms -> accepts_on A Xs K B ->
  keeps A Ms (fst B + b) (snd B + b) C -> accepts_on A Xs (biased A Ms b K) C.
Proof.
  intros HA HM HK; apply stored_accepted; auto; intros xs v Hin Hnum (s & Hs & ->).
  destruct (HK xs s Hin Hnum Hs) as (y & -> & [? ?] & _).
  exists (y + b); split; auto; lra.
Qed.

(** linear, conv1d, conv2d, conv_transpose ([stored_sums]): the kernel may store the sum of all
    terms and the bias, or store the sum and add the bias to it; the hull of both. *)
Theorem late_bias_accepted A Ms Xs ts b B B' C :
  coherent A -> Forall well_formed Ms ->
  accepts_sum A Xs (ts ++ [Constant b]) [] B ->
  accepts_sum A Xs ts [] B' -> keeps A Ms (fst B' + b) (snd B' + b) C ->
  accepts_on A Xs
    (either (step A (Sum (ts ++ [Constant b]) [])) (biased A Ms b (step A (Sum ts []))))
    (hull B C).
Proof.
  intros HA HM HB HB' HC; apply either_accepted.
  - apply sum_accepted; auto.
  - apply biased_accepted with (B := B'); auto; apply sum_accepted; auto.
Qed.

(** conv_transpose in 16 bits ([_tap_by_tap]): the sum over channels stored for each tap, the taps
    added in the arithmetic C of the storage format, stored, the bias added last. *)
Theorem tap_by_tap_accepted A C Ms Xs taps Bs sum b B' B :
  coherent A -> coherent C -> storage C = storage A -> Forall well_formed Ms ->
  Forall2 (fun ts => accepts_sum A Xs ts []) taps Bs ->
  accepts_sum C Bs sum [] B' -> keeps A Ms (fst B' + b) (snd B' + b) B ->
  accepts_on A Xs
    (biased A Ms b (composed (map (fun ts => step A (Sum ts [])) taps) (step C (Sum sum [])))) B.
Proof.
  intros HA HC HS HM Htaps Hsum; apply biased_accepted; auto.
  apply composed_accepted with (Bs := Bs); [|apply sum_accepted; assumption].
  clear Hsum; induction Htaps; simpl; constructor; auto; apply sum_accepted; auto.
Qed.

(** avg_pool2d, adaptive_avg_pool2d, mean, sum ([window_sums]): stored numbers added in the
    arithmetic C and divided in one of several ways (by the area; by height, then width). B must be
    accepted for each. *)
Definition windows (C : arithmetic) (ks : list nat) (ways : list (list R)) : kernel :=
  fun xs o => Exists (fun ds => step C (Sum (map Entry ks) ds) xs o) ways.

Theorem window_mean A C Xs ks ways B :
  coherent C -> storage C = storage A ->
  Forall (fun ds => accepts_sum C Xs (map Entry ks) ds B) ways ->
  accepts_on A Xs (windows C ks ways) B.
Proof.
  intros HC HS Hways xs o Hin Hnum Ho; apply Exists_exists in Ho as (ds & Hds & Hstep).
  rewrite Forall_forall in Hways.
  apply (sum_accepted A C Xs (map Entry ks) ds B HC HS (Hways ds Hds) xs o Hin Hnum Hstep).
Qed.
