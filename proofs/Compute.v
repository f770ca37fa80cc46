(** * Computing: the error bounds of sums and the staircase's noise, on rationals.

    [reachQ], [sum_errorQ], [masterQ], [first_formQ] and [height_formQ] are the formulas of
    [errbound/number/summation.py], [noiseQ] is the noise of [errbound/analysis/relaxation.py], all
    exactly: each is the real formula, by its theorem [.._correct]. Extracted by [Extract.v], they
    are compared with the Python functions in [tests/proofs].

    Depends on: [Statement.v], [Cell.v] ([half_ulp], [staircase_centred]), [Rational.v]. *)

From Coq Require Import Reals List ZArith QArith Qreals Qabs Lra Lia.
From Flocq Require Import Core.
From Errbound Require Import Statement Cell Rational.
Import ListNotations.
Open Scope R_scope.

(** ** 1. Sums *)

Definition product_relativeQ (A : arithmetic) : Q :=
  if (2 * precision (storage A) <=? precision (accumulator A))%Z
  then 0%Q else unit_roundoffQ (accumulator A).

Definition product_absoluteQ (A : arithmetic) : Q :=
  if flushes A then smallest_normalQ (accumulator A)
  else if (quantum (accumulator A) <=? 2 * quantum (storage A))%Z
  then 0%Q else etaQ (accumulator A).

Definition read_errorQ (A : arithmetic) (w x : Q) : Q :=
  let tau := smallest_normalQ (storage A) in
  if flushes A
  then (tau * (Qabs w + if Qlt_bool (Qabs w) tau then x else 0))%Q else 0%Q.

Definition addition_absoluteQ (A : arithmetic) : Q :=
  if flushes A then smallest_normalQ (accumulator A) else 0%Q.

Lemma unit_roundoffQ_correct F : Q2R (unit_roundoffQ F) = unit_roundoff F.
Proof. apply Q2R_pow. Qed.

Lemma product_relativeQ_correct A : Q2R (product_relativeQ A) = product_relative A.
Proof.
  unfold product_relativeQ, product_relative.
  case Z.leb; [apply Q2R_0 | apply Q2R_pow].
Qed.

Lemma product_absoluteQ_correct A : Q2R (product_absoluteQ A) = product_absolute A.
Proof.
  unfold product_absoluteQ, product_absolute.
  case flushes; [apply Q2R_pow |]; case Z.leb; [apply Q2R_0 | apply Q2R_pow].
Qed.

Lemma read_errorQ_correct A w x : Q2R (read_errorQ A w x) = read_error A (Q2R w) (Q2R x).
Proof.
  unfold read_errorQ, read_error; case flushes; [|apply Q2R_0].
  unfold smallest_normal, smallest_normalQ; rewrite Q2R_mult, Q2R_plus, Q2R_abs, Q2R_pow.
  rewrite <- Q2R_abs, <- Q2R_pow, Rlt_bool_Q; case Qlt_bool; now rewrite ?Q2R_0.
Qed.

Lemma addition_absoluteQ_correct A : Q2R (addition_absoluteQ A) = addition_absolute A.
Proof.
  unfold addition_absoluteQ, addition_absolute.
  case flushes; [apply Q2R_pow | apply Q2R_0].
Qed.

Global Hint Rewrite unit_roundoffQ_correct product_relativeQ_correct product_absoluteQ_correct
  read_errorQ_correct addition_absoluteQ_correct : q2r.

Definition reachQ (A : arithmetic) (n S s E : Q) : Q :=
  (lite ((S + s) * (1 # 2) + E + n * addition_absoluteQ A) /
   (1 - n * unit_roundoffQ (accumulator A)))%Q.

Definition sum_errorQ (A : arithmetic) (n S s E : Q) : Q :=
  lite (E + n * (unit_roundoffQ (accumulator A) * ufpQ (reachQ A n S s E) +
                 addition_absoluteQ A)).

Theorem reachQ_correct A n S s E : Q2R n * unit_roundoff (accumulator A) < 1 ->
  Q2R (reachQ A n S s E) = reach A (Q2R n) (Q2R S) (Q2R s) (Q2R E).
Proof.
  intros H; unfold reachQ, reach; rewrite Q2R_div; autorewrite with q2r; [easy |].
  intros Z; apply Qeq_eqR in Z; autorewrite with q2r in Z; lra.
Qed.

Theorem sum_errorQ_correct A n S s E : Q2R n * unit_roundoff (accumulator A) < 1 ->
  Q2R (sum_errorQ A n S s E) = sum_error A (Q2R n) (Q2R S) (Q2R s) (Q2R E).
Proof.
  intros H; unfold sum_errorQ, sum_error; autorewrite with q2r; now rewrite reachQ_correct.
Qed.

(** The bounds that need less (docs/theory.md, section 4): m terms, n = max(m-1, 0) additions, S
    and s as above; [first_form] without a condition on n, [height_form] if no term goes through
    more than h additions. *)
Definition exact_products (A : arithmetic) : bool :=
  (2 * precision (storage A) <=? precision (accumulator A))%Z.

Definition master (A : arithmetic) (n S s E : R) : R :=
  (E + n * (unit_roundoff (accumulator A) * ((S + s) / 2) + addition_absolute A)) /
  (1 - n * unit_roundoff (accumulator A)).

Definition first_form (A : arithmetic) (n m S : R) : R :=
  let u := unit_roundoff (accumulator A) in
  (if exact_products A then n else m) * u * S + m * product_absolute A * (1 + m * u).

(** The formula of the code is not below the bound of the rule ([first_form_error]). *)
Theorem first_form_covers A m S : 0 <= S ->
  first_form_error A m S <= first_form A (INR (m - 1)) (INR m) S.
Proof.
  intros HS; unfold first_form_error, first_form, exact_products; cbv zeta.
  assert (Hu : 0 < unit_roundoff (accumulator A)) by apply bpow_gt_0.
  assert (K : (if (2 * precision (storage A) <=? precision (accumulator A))%Z
    then INR (m - 1) else INR m) = INR (if Req_bool (product_relative A) 0 then m - 1 else m)).
  { unfold product_relative; destruct (_ <=? _)%Z.
    - now rewrite Req_bool_true.
    - rewrite Req_bool_false; [easy | lra]. }
  rewrite K; set (k := (if Req_bool _ _ then _ else _)).
  assert (L : INR k <= INR m) by (apply le_INR; unfold k; destruct (Req_bool _ _); lia).
  set (u := unit_roundoff _) in *.
  assert (P : 0 <= product_absolute A).
  { unfold product_absolute; destruct (flushes A); [apply bpow_ge_0 |].
    case Z.leb; [lra | apply bpow_ge_0]. }
  pose proof (Rmult_le_pos _ _ (Rlt_le _ _ Hu) (Rmult_le_pos _ _ (pos_INR m) P)) as Q.
  apply (Rmult_le_compat_r _ _ _ Q) in L; lra.
Qed.

Definition levels (A : arithmetic) (n h : R) : R :=
  (Rmin n h + (if exact_products A then 0 else 1)) * unit_roundoff (accumulator A).

Definition height_form (A : arithmetic) (n m h S : R) : R :=
  let du := levels A n h in
  du / (1 - du) * S + (1 + du / (1 - du)) * (m * product_absolute A + n * addition_absolute A).

Definition masterQ (A : arithmetic) (n S s E : Q) : Q :=
  (lite (E + n * (unit_roundoffQ (accumulator A) * ((S + s) * (1 # 2)) + addition_absoluteQ A)) /
   (1 - n * unit_roundoffQ (accumulator A)))%Q.

Definition first_formQ (A : arithmetic) (n m S : Q) : Q :=
  let u := unit_roundoffQ (accumulator A) in
  lite ((if exact_products A then n else m) * u * S + m * product_absoluteQ A * (1 + m * u)).

Definition levelsQ (A : arithmetic) (n h : Q) : Q :=
  ((minQ n h + (if exact_products A then 0 else 1)) * unit_roundoffQ (accumulator A))%Q.

Definition height_formQ (A : arithmetic) (n m h S : Q) : Q :=
  let du := lite (levelsQ A n h) in
  (du / (1 - du) * S +
   (1 + du / (1 - du)) * lite (m * product_absoluteQ A + n * addition_absoluteQ A))%Q.

Theorem masterQ_correct A n S s E : Q2R n * unit_roundoff (accumulator A) < 1 ->
  Q2R (masterQ A n S s E) = master A (Q2R n) (Q2R S) (Q2R s) (Q2R E).
Proof.
  intros H; unfold masterQ, master; rewrite Q2R_div; autorewrite with q2r; [easy |].
  intros Z; apply Qeq_eqR in Z; autorewrite with q2r in Z; lra.
Qed.

Theorem first_formQ_correct A n m S :
  Q2R (first_formQ A n m S) = first_form A (Q2R n) (Q2R m) (Q2R S).
Proof.
  unfold first_formQ, first_form; autorewrite with q2r.
  case exact_products; now autorewrite with q2r.
Qed.

Theorem height_formQ_correct A n m h S : levels A (Q2R n) (Q2R h) < 1 ->
  Q2R (height_formQ A n m h S) = height_form A (Q2R n) (Q2R m) (Q2R h) (Q2R S).
Proof.
  assert (L : Q2R (levelsQ A n h) = levels A (Q2R n) (Q2R h)).
  { unfold levelsQ, levels; case exact_products; now autorewrite with q2r. }
  intros H; unfold height_formQ, height_form; autorewrite with q2r.
  rewrite !Q2R_div; autorewrite with q2r; [now rewrite L |].
  intros Z; apply Qeq_eqR in Z; autorewrite with q2r in Z; rewrite L in Z; lra.
Qed.

(** ** 2. The staircase's noise *)

(** Ends of (v - c_v) - s (y - c_y), where v = fl(y), y in [low, high]. *)
Definition noise (F : format) (s low high c_y c_v : R) : interval :=
  let h := half_ulp F low high in
  ((1 - s) * fl F low - s * h - c_v + s * c_y, (1 - s) * fl F high + s * h - c_v + s * c_y).

Theorem noise_encloses F s low high c_y c_v y : well_formed F -> low <= y <= high ->
  0 <= s <= 1 -> inside ((fl F y - c_v) - s * (y - c_y)) (noise F s low high c_y c_v).
Proof. intros W Y H; now apply staircase_centred. Qed.

Definition noiseQ (F : format) (s low high c_y c_v : Q) : Q * Q :=
  let h := half_ulpQ F (maxQ (Qabs low) (Qabs high)) in
  (lite ((1 - s) * flQ F low - s * h - c_v + s * c_y),
   lite ((1 - s) * flQ F high + s * h - c_v + s * c_y)).

Theorem noiseQ_correct F s low high c_y c_v : well_formed F ->
  (Q2R (fst (noiseQ F s low high c_y c_v)), Q2R (snd (noiseQ F s low high c_y c_v))) =
  noise F (Q2R s) (Q2R low) (Q2R high) (Q2R c_y) (Q2R c_v).
Proof.
  intros W; unfold noiseQ, noise, half_ulp; simpl; autorewrite with q2r.
  rewrite half_ulpQ_correct by assumption; now autorewrite with q2r.
Qed.
