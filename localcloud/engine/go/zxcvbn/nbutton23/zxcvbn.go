// Package zxcvbn takes the place of a library that guesses how hard a password is to guess, by
// dictionaries that every start of the CLI reads before it does anything. The CLI asks it whether a
// value in `pulumi config set` or `pulumi env set` looks like a secret that was not called one: in
// the local cloud, whose passphrase is made up, no value does.
package zxcvbn

// Strength is how hard a password is to guess.
type Strength struct {
	// Entropy in bits.
	Entropy float64
}

// PasswordStrength takes every password for one that is easy to guess.
func PasswordStrength(string, []string) Strength { return Strength{} }
