(* Reads cases from standard input, one a line, and prints what the extracted formulas give.

   A case is a name and integers: a format is "precision quantum m e", its largest number m 2^e; an
   arithmetic is two formats and 0 or 1 (flushes); a number is "m e", m 2^e. Answers are fractions
   in hexadecimal, or "none". *)

open Formulas

(* OCaml's 63-bit integers hold all significands and exponents. *)
let rec positive n =
  if n = 1 then XH else if n land 1 = 1 then XI (positive (n lsr 1)) else XO (positive (n lsr 1))

let z n = if n = 0 then Z0 else if n > 0 then Zpos (positive n) else Zneg (positive (-n))

let rec nat n = if n = 0 then O else S (nat (n - 1))

let hexadecimal p =
  let rec bits p = match p with XH -> [ 1 ] | XO p -> 0 :: bits p | XI p -> 1 :: bits p in
  let rec digits low = function
    | a :: b :: c :: d :: rest -> digits ((a + (2 * b) + (4 * c) + (8 * d)) :: low) rest
    | rest -> List.fold_right (fun bit sum -> bit + (2 * sum)) rest 0 :: low
  in
  String.concat "" (List.map (Printf.sprintf "%x") (digits [] (bits p)))

let shown { qnum; qden } =
  match qnum with
  | Z0 -> "0/1"
  | Zpos n -> hexadecimal n ^ "/" ^ hexadecimal qden
  | Zneg n -> "-" ^ hexadecimal n ^ "/" ^ hexadecimal qden

let answer line =
  let words = ref (String.split_on_char ' ' line) in
  let word () = match !words with w :: rest -> words := rest; w | [] -> failwith line in
  let int () = z (int_of_string (word ())) in
  let number () = let m = int () in let e = int () in lite (qmult (inject_Z m) (powQ e)) in
  let format () =
    let precision = int () in
    let quantum = int () in
    let fnum = int () in
    { precision; quantum; largest = { fnum; fexp = int () } }
  in
  let one = { qnum = Zpos XH; qden = XH } and zero = { qnum = Z0; qden = XH } in
  let arithmetic () =
    let storage = format () in
    let accumulator = format () in
    { storage; accumulator; flushes = word () = "1" }
  in
  match word () with
  | "nearest" ->
      let f = format () in
      (match roundedQ f (number ()) with Some y -> [ shown y ] | None -> [ "none" ])
  | "half_ulp" -> let f = format () in [ shown (half_ulpQ f (number ())) ]
  | "ufp" -> [ shown (ufpQ (number ())) ]
  | "row" ->
      let a = arithmetic () in
      List.map shown
        [ unit_roundoffQ a.accumulator; product_relativeQ a; product_absoluteQ a;
          addition_absoluteQ a; read_errorQ a one zero ]
  | ("sum_error" | "master") as name ->
      (* E = product S + m product_absolute + what is added *)
      let a = arithmetic () in
      let m = number () in
      let n = number () in
      let magnitude = number () in
      let total = number () in
      let relative = number () in
      let absolute = number () in
      let leaves =
        qplus (qmult (qplus (product_relativeQ a) relative) magnitude)
          (qplus (qmult m (product_absoluteQ a)) absolute)
      in
      let bound = if name = "master" then masterQ else sum_errorQ in
      [ shown (bound a n magnitude total (lite leaves)) ]
  | "first_form" ->
      let a = arithmetic () in
      let m = number () in
      let n = number () in
      [ shown (first_formQ a n m (number ())) ]
  | "height_form" ->
      let a = arithmetic () in
      let m = number () in
      let n = number () in
      let h = number () in
      [ shown (height_formQ a n m h (number ())) ]
  | "noise" ->
      let f = format () in
      let slope = number () in
      let low = number () in
      let high = number () in
      let c_y = number () in
      let lower, upper = noiseQ f slope low high c_y (number ()) in
      [ shown lower; shown upper ]
  | "check_sum" ->
      (* k, then low, high and weight of k operands; 0, or 1 and a bias; low and high of the result.
         Is it accepted? Then the least interval that is. *)
      let a = arithmetic () in
      let k = int_of_string (word ()) in
      let low_high () = let low = number () in (low, number ()) in
      let operands = List.init k (fun _ -> let box = low_high () in (box, number ())) in
      let bias = if word () = "1" then [ ConstantQ (number ()) ] else [] in
      let boxes = List.map fst operands in
      let summands = List.mapi (fun i (_, w) -> WeightedQ (w, nat i)) operands @ bias in
      let least =
        match image_sum a boxes summands [] with
        | Some (low, high) -> [ shown low; shown high ]
        | None -> [ "none"; "none" ]
      in
      (if check_sum a boxes summands [] (low_high ()) then "1/1" else "0/1") :: least
  | _ -> failwith line

let () =
  try
    while true do
      print_endline (String.concat " " (answer (input_line stdin)))
    done
  with End_of_file -> ()
