// Package orderedmap is a map that keeps the order in which keys were first set.
package orderedmap

import (
	"iter"
	"slices"
)

// Map is read when nil, too.
type Map[K comparable, V any] struct {
	keys   []K
	values map[K]V
}

// New makes an empty map.
func New[K comparable, V any]() *Map[K, V] {
	return &Map[K, V]{values: map[K]V{}}
}

// Len counts the keys.
func Len[K comparable, V any](m *Map[K, V]) int {
	if m == nil {
		return 0
	}
	return len(m.keys)
}

// Get finds the value of a key.
func (m *Map[K, V]) Get(key K) (V, bool) {
	if m == nil {
		var none V
		return none, false
	}
	value, found := m.values[key]
	return value, found
}

// GetOrZero finds the value of a key, or the type's zero value.
func (m *Map[K, V]) GetOrZero(key K) V {
	value, _ := m.Get(key)
	return value
}

// Set keeps a value under a key.
func (m *Map[K, V]) Set(key K, value V) {
	if _, found := m.values[key]; !found {
		m.keys = append(m.keys, key)
	}
	m.values[key] = value
}

// Delete forgets a key.
func (m *Map[K, V]) Delete(key K) {
	delete(m.values, key)
	m.keys = slices.DeleteFunc(m.keys, func(k K) bool { return k == key })
}

// KeysFromOldest goes through the keys in order.
func (m *Map[K, V]) KeysFromOldest() iter.Seq[K] {
	return func(yield func(K) bool) {
		for key := range m.FromOldest() {
			if !yield(key) {
				return
			}
		}
	}
}

// FromOldest goes through keys and values in order.
func (m *Map[K, V]) FromOldest() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if m == nil {
			return
		}
		for _, key := range m.keys {
			if !yield(key, m.values[key]) {
				return
			}
		}
	}
}
