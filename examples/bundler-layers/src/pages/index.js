export default () => 'Welcome';
